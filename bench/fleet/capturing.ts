// Captures one after the other, then many at once, while all other agents poll.
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { records, verifyBundle } from '../../evidence/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import { chainOf, storeOf } from '../../test/helpers/sealed.ts';
import type { Impound } from '../../test/testbed/impound.ts';
import { type Measured, median } from '../measure.ts';
import type { FleetBed } from './bed.ts';
import { type Fleet, memoryRow, metrics, row, seconds } from './fleet.ts';
import { apiRequests, createdAt, forgetPeak, useOf } from './gauge.ts';

const AT_ONCE = 50;
/** So many that a late one is seen, and that the controller has done it before, as one that has led for long. */
const ALONE = 20;
const PATIENCE_MILLISECONDS = 180_000;
/** Each look is a request that the API server has to answer beside those that are measured. */
const LOOK_MILLISECONDS = 1000;
/** Of the API server's own memory: without the version it reads them all from etcd. */
const CAPTURES = '/apis/impound.dev/v1alpha1/nodecaptures?resourceVersion=0';

export async function capturing({ bed, names }: Fleet): Promise<readonly Measured[]> {
  const leader = await bed.leader();
  const { pid } = bed.controller(leader);
  const spread = names.filter((_, index) => index % Math.ceil(names.length / AT_ONCE) === 0);
  const alone: Timed[] = [];
  for (const node of names.slice(-ALONE)) alone.push(...(await capture(bed, [node], 'alone')));
  await forgetPeak(pid);
  await metrics(bed, leader);
  const [before, storeBefore, busyBefore, from] = [await useOf(pid), await linesOf(bed.storeLog), busy(), Date.now()];
  const times = await capture(bed, spread, 'fleet');
  const [after, storeAfter, busyAfter, to] = [await useOf(pid), await linesOf(bed.storeLog), busy(), Date.now()];
  const figures = await metrics(bed, leader);
  const asked = await apiRequests(bed.audit, from, to);
  const intact = await countIntact(bed.impound, times);
  const first = times.map((time) => time.first);
  const seal = times.map((time) => time.seal);
  const lag = (figures.get('impound_nodejs_eventloop_lag_max_seconds') ?? Number.NaN) * 1000;
  const perCapture = (count: number): string => `${(count / times.length).toFixed(0)} a capture`;
  const share = (busyAfter - busyBefore) / ((to - from) / 1000) / cpus().length;
  return [
    ...firstRows(
      'a capture alone',
      alone.map((time) => time.first),
    ),
    ...firstRows(`${times.length} captures at once`, first),
    row('  sealed, median and last', `${seconds(median(seal))}, ${seconds(Math.max(...seal))}`),
    row('  intact', `${intact} of ${times.length}`, 'all', intact === times.length),
    row('  CPU of the controller', `${(after.cpuSeconds - before.cpuSeconds).toFixed(1)} s`),
    row(
      '  of this machine, with API server, store and agents',
      `${(share * 100).toFixed(0)} % of ${cpus().length} CPUs`,
    ),
    memoryRow('  peak memory of the controller', after.peak),
    row('  longest delay of its event loop', `${lag.toFixed(0)} ms`),
    row('  its API requests', perCapture(asked.length)),
    row('  requests to the store, the agents’ among them', perCapture(storeAfter - storeBefore)),
  ];
}

/** Seconds since the API server was asked to create it. */
interface Timed {
  readonly capture: NodeCapture;
  readonly first: number;
  readonly seal: number;
}

async function capture(bed: FleetBed, nodes: readonly string[], name: string): Promise<readonly Timed[]> {
  const { impound } = bed;
  const nameOf = (node: string): string => `${name}-${node}`;
  await Promise.all(nodes.map((node) => impound.capture(nameOf(node), { node, profile: 'quick' })));
  const sealed = await untilSealed(impound, nodes.map(nameOf));
  const created = await createdAt(bed.audit);
  return Promise.all(
    sealed.map(async (capture) => {
      const statements = (await chainOf(impound, capture)).map(({ statement }) => statement);
      const agents = statements.filter(({ predicate }) => predicate.actor.kind === 'agent');
      const first = Math.min(...records(agents).map(({ ended }) => Date.parse(ended)));
      const since = (at: number): number => (at - (created.get(capture.metadata.name) ?? Number.NaN)) / 1000;
      return { capture, first: since(first), seal: since(Date.parse(capture.status?.sealedAt ?? '')) };
    }),
  );
}

async function untilSealed({ cluster }: Impound, names: readonly string[]): Promise<readonly NodeCapture[]> {
  const end = Date.now() + PATIENCE_MILLISECONDS;
  for (;;) {
    const ours = (await listCaptures(cluster)).filter(({ metadata }) => names.includes(metadata.name));
    const phases = ours.map(({ status }) => status?.phase ?? 'Pending');
    const failed = phases.some((phase) => phase === 'Failed' || phase === 'Cancelled');
    if (ours.length === names.length && phases.every((phase) => phase === 'Sealed')) return ours;
    if (failed || Date.now() > end) throw new Error(`not all were sealed: ${phases.join(' ')}`);
    await sleep(LOOK_MILLISECONDS);
  }
}

/** None where the API server has too much to do to answer. */
async function listCaptures({ api }: Impound['cluster']): Promise<readonly NodeCapture[]> {
  const answer = await api('GET', CAPTURES).catch(() => ({ items: [] }));
  return (answer as { readonly items: readonly NodeCapture[] }).items;
}

async function countIntact(impound: Impound, times: readonly Timed[]): Promise<number> {
  let intact = 0;
  for (const { capture } of times)
    if ((await verifyBundle(await storeOf(impound, capture))).verdict === 'intact') intact++;
  return intact;
}

function firstRows(what: string, first: readonly number[]): readonly Measured[] {
  const late = percentile(first, 0.99);
  return [
    row(`${what}: first artefact, median`, seconds(median(first)), 'under 1 s', median(first) < 1),
    row('  first artefact, p99', seconds(late), 'under 3 s', late < 3),
  ];
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
}

/** CPU seconds that the machine was not idle. */
function busy(): number {
  return cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0) / 1000;
}

async function linesOf(file: string): Promise<number> {
  return (await readFile(file, 'utf8')).split('\n').length;
}
