// Captures with Impound as it is installed, and its pods: made, waited for, and looked at when they are over.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeCapture, NodeCaptureRequest } from '../../protocol/index.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { SKIPPED_ON_BEDS } from '../testbed/impound.ts';
import type { Installed } from '../testbed/installed.ts';
import { chainOf, coverageOf, verified } from './sealed.ts';

const CAPTURES = '/apis/impound.dev/v1alpha1/nodecaptures';
const POLL_MILLISECONDS = 200;
/** Of each pod, where something did not come. */
const LAST_LINES = 5;
const LAST_CHARACTERS = 300;

export interface InstalledPod {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec: { readonly nodeName: string; readonly containers: readonly { readonly image: string }[] };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

/** Takes no more than `watchSeconds` and some seconds: what is slow is left out. */
export async function capture(
  { cluster }: Installed,
  name: string,
  spec: Partial<NodeCaptureRequest> = {},
): Promise<void> {
  const made = { requestedBy: 'admin', reason: 'a test', encryption: { none: true }, node: 'node1' };
  const collectors = { skip: ['timeline', 'logs', ...SKIPPED_ON_BEDS] };
  await cluster.api('POST', CAPTURES, {
    ...{ apiVersion: 'impound.dev/v1alpha1', kind: 'NodeCapture', metadata: { name } },
    spec: { ...made, collectors, ...spec },
  });
}

export async function get({ cluster }: Installed, name: string): Promise<NodeCapture> {
  return (await cluster.api('GET', `${CAPTURES}/${name}`)) as NodeCapture;
}

/** Waits until it is so; throws with the capture as it was last, and what the pods said last. */
export async function until(
  installed: Installed,
  name: string,
  seconds: number,
  is: (capture: NodeCapture) => boolean,
): Promise<NodeCapture> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await get(installed, name);
    if (is(found)) return found;
    if (Date.now() > end) {
      const { prior: _, ...status } = found.status ?? {};
      const said = [
        ...(await lastSaid(installed, 'controller')),
        ...(await lastSaid(installed, 'agent', found.spec.node)),
      ];
      throw new Error([`not so after ${seconds} s: ${JSON.stringify(status)}`, ...said].join('\n'));
    }
    await sleep(POLL_MILLISECONDS);
  }
}

/** Its agent is at work, and has stored something. */
export async function begin(installed: Installed, name: string, spec: Partial<NodeCaptureRequest>): Promise<void> {
  await capture(installed, name, spec);
  await until(installed, name, 120, ({ status }) => status?.session !== undefined && (status.artefacts ?? 0) > 15);
}

export function conditionOf({ status }: NodeCapture, type: string) {
  return status?.conditions?.find((condition) => condition.type === type);
}

/** Waits until it says so of its collecting, and gives the message. */
export async function untilSaid(installed: Installed, name: string, seconds: number, reason: string): Promise<string> {
  const said = await until(installed, name, seconds, (found) => conditionOf(found, 'Collected')?.reason === reason);
  return conditionOf(said, 'Collected')?.message ?? '';
}

/**
 * Waits for the seal. Nothing is lost: entry by entry what had been committed before, each collector seen to an end of
 * its own, and the bundle verifies.
 */
export async function sealedWhole(
  installed: Installed,
  name: string,
  home: string,
  before: readonly string[],
): Promise<NodeCapture> {
  const over = await until(installed, name, 150, ({ status }) =>
    ['Sealed', 'Failed', 'Cancelled'].includes(status?.phase ?? ''),
  );
  assert.equal(conditionOf(over, 'Collected')?.reason, 'Complete', JSON.stringify(over.status));
  const { code, stdout } = await verified(installed, over, home);
  assert.equal(code, 0, stdout);
  const chain = await digests(installed, over);
  assert.deepEqual(chain.slice(0, before.length), before);
  const { collectors } = await coverageOf(installed, over);
  const ended = new Set(collectors.flatMap((one) => (OPEN.includes(one.outcome) ? [] : [one.collector])));
  const lost = collectors.filter(({ collector }) => !ended.has(collector));
  assert.deepEqual(lost, []);
  return over;
}

/** What another session has to see to its end. */
const OPEN: readonly string[] = ['aborted', 'unfinished'];

export async function digests(installed: Installed, found: NodeCapture): Promise<readonly string[]> {
  return (await chainOf(installed, found)).map(({ sha256 }) => sha256);
}

export async function pods({ cluster, namespace }: Installed, program: string): Promise<readonly InstalledPod[]> {
  const path = `/api/v1/namespaces/${namespace}/pods?labelSelector=app.kubernetes.io%2Fname%3Dimpound-${program}`;
  return ((await cluster.api('GET', path)) as { readonly items: readonly InstalledPod[] }).items;
}

export function isReady({ status }: InstalledPod): boolean {
  return status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false;
}

/** Name of the pod that leads. */
export async function leader({ cluster, namespace }: Installed): Promise<string> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/impound-controller`;
  const lease = (await cluster.api('GET', path)) as { readonly spec: { readonly holderIdentity?: string } };
  return lease.spec.holderIdentity ?? '';
}

/** A line of a program's log. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly message: string; readonly code?: string };

/** Of this code; `text` is in its message, or in the error that it tells. */
export const says =
  (code: string, text?: RegExp) =>
  (line: LogLine): boolean =>
    line.code === code && (text?.test(`${line.message} ${line.error}`) ?? true);

/** Until the log of one of the program's pods has such a line; the first of them. */
export async function untilLogged(
  installed: Installed,
  program: string,
  seconds: number,
  is: (line: LogLine) => boolean,
  node?: string,
): Promise<LogLine> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    for (const { metadata, spec } of await pods(installed, program)) {
      if (node !== undefined && spec.nodeName !== node) continue;
      const found = (await logOf(installed, metadata.name)).find(is);
      if (found !== undefined) return found;
    }
    if (Date.now() > end) throw new Error(`no ${program} has said so in ${seconds} s`);
    await sleep(POLL_MILLISECONDS);
  }
}

/** Empty where its pod has none yet. */
export async function logOf({ cluster, namespace }: Installed, pod: string): Promise<readonly LogLine[]> {
  const text = await cluster.kubectl('logs', '-n', namespace, pod).catch(() => '');
  const lines = text.split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line) as LogLine);
}

async function lastSaid(installed: Installed, program: string, node?: string): Promise<readonly string[]> {
  const all = (await pods(installed, program)).filter(({ spec }) => node === undefined || spec.nodeName === node);
  const said = all.map(async (pod) => {
    const lines = (await logOf(installed, pod.metadata.name)).slice(-LAST_LINES);
    const head = `${pod.metadata.name} on ${pod.spec.nodeName}, ${isReady(pod) ? 'ready' : 'not ready'}:`;
    return [head, ...lines.map((line) => `  ${JSON.stringify(line).slice(0, LAST_CHARACTERS)}`)];
  });
  return (await Promise.all(said)).flat();
}

/** What a capture changes on a node, as it stands there. */
export async function marksOf(cluster: Cluster, node: string): Promise<object> {
  const { spec, metadata } = (await cluster.api('GET', `/api/v1/nodes/${node}`)) as {
    readonly spec: { readonly unschedulable?: boolean; readonly taints?: readonly { readonly key: string }[] };
    readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  };
  const annotations = Object.keys(metadata.annotations ?? {}).filter((key) => /impound|autoscaler|karpenter/.test(key));
  const taints = (spec.taints ?? []).filter(({ key }) => key === 'impound.dev/capture').length;
  return { unschedulable: spec.unschedulable ?? false, taints, annotations };
}

export const UNMARKED = { unschedulable: false, taints: 0, annotations: [] };

/** Gives the node back, and looks that it is as it was. */
export async function release(installed: Installed, name: string): Promise<void> {
  const { spec } = await get(installed, name);
  await installed.cluster.api('PATCH', `${CAPTURES}/${name}`, { spec: { release: true } });
  await until(installed, name, 30, ({ status }) => status?.phase === 'Released');
  assert.deepEqual(await marksOf(installed.cluster, spec.node), UNMARKED);
}
