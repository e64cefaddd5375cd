// Captures while agent, replicas, API server and S3 are killed at random moments: each ends, nothing that was committed is
// lost, no chain forks, and the node comes back as it was.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeCapture } from '../../protocol/index.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { type Killed, keepAlive, killFor, randomOf, VICTIMS, type Victim } from '../helpers/killing.ts';
import { untilLeads } from '../helpers/replicas.ts';
import { chainOf, verified } from '../helpers/sealed.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { IMPOUND_COMPONENTS, type Impound, startImpound } from '../testbed/impound.ts';

const ROUNDS = process.env.IMPOUND_SOAK === undefined ? 5 : 20;
const SEED = Number(process.env.IMPOUND_SEED ?? randomInt(2 ** 31));
const REPLICAS = ['node2', 'node3'] as const;
const FINAL: readonly string[] = ['Sealed', 'Cancelled', 'Failed'];
const ROUND_SECONDS = 180;
/** In each round so many are killed, one after the other. */
const KILLS = 2;

const scenario = await fileBed(IMPOUND_COMPONENTS, startBed);
const home = await fileTemporaryFolder();

async function startBed(): Promise<Impound> {
  const short = { grantSeconds: 10 };
  return startImpound({ after }, { controllers: REPLICAS, config: (file) => ({ ...file, agents: short }) });
}

interface Seen {
  readonly heads: Map<number, string>;
  artefacts: number;
}

/** What the status says meanwhile: each head and each artefact that it ever named has to be there in the end. */
async function watch(impound: Impound, name: string, seen: Seen, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const { status } = (await impound.get(name).catch(() => undefined)) ?? {}; // the API server may be away
    const head = status?.bundle?.head;
    if (head !== undefined) seen.heads.set(head.sequence, head.sha256);
    seen.artefacts = Math.max(seen.artefacts, status?.artefacts ?? 0);
    await sleep(100);
  }
}

const nodeOf = async ({ cluster }: Impound) => {
  const { spec, metadata } = (await cluster.api('GET', '/api/v1/nodes/node1')) as {
    readonly spec: { readonly unschedulable?: boolean; readonly taints?: readonly { readonly key: string }[] };
    readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  };
  const ours = Object.keys(metadata.annotations ?? {}).filter((key) => /impound|autoscaler|karpenter/.test(key));
  const taints = (spec.taints ?? []).filter(({ key }) => key === 'impound.dev/capture').length;
  return { unschedulable: spec.unschedulable ?? false, taints, ours };
};
const FREE = { unschedulable: false, taints: 0, ours: [] };

/** Each victim's turn comes, in an order of the seed's. */
function victims(random: () => number): readonly Victim[] {
  const order: Victim[] = [];
  while (order.length < ROUNDS * KILLS)
    order.push(
      ...VICTIMS.map((victim) => ({ victim, by: random() }))
        .toSorted((a, b) => a.by - b.by)
        .map(({ victim }) => victim),
    );
  return order;
}

async function kill(impound: Impound, name: string, round: number, order: readonly Victim[], random: () => number) {
  const killed: Killed[] = [];
  for (const victim of order.slice(round * KILLS, (round + 1) * KILLS)) {
    await sleep(random() * 5000);
    killed.push(await killFor(impound, victim, REPLICAS, random));
  }
  if (round % 2 === 0) return killed;
  // and in the moments of its sealing
  await impound.untilPhase(name, ROUND_SECONDS, 'Sealing', ...FINAL);
  await sleep(random() * 1500);
  return [...killed, await killFor(impound, 'both', REPLICAS, random)];
}

async function examine(impound: Impound, capture: NodeCapture, seen: Seen): Promise<void> {
  const { status } = capture;
  if (status?.phase === 'Failed') assert.match(status.message ?? '', /\[[a-z-]+\]$/);
  const { code, stdout } = await verified(impound, capture, home);
  assert.equal(code, 0, `${stdout}\n${JSON.stringify(status)}`);
  const chain = await chainOf(impound, capture);
  for (const [sequence, sha256] of seen.heads) assert.equal(chain[sequence]?.sha256, sha256, `entry ${sequence}`);
  assert.ok((status?.artefacts ?? 0) >= seen.artefacts);
  const last = chain.at(-1);
  assert.deepEqual(status?.bundle?.head, { sequence: last?.sequence, sha256: last?.sha256 });
}

async function playRound(impound: Impound, round: number, order: readonly Victim[]): Promise<string> {
  const random = randomOf(SEED + round);
  const name = `round-${round}`;
  assert.deepEqual(await nodeOf(impound), FREE);
  await untilLeads(impound, ...REPLICAS);
  await impound.capture(name, { watchSeconds: 5, collectors: { skip: ['timeline', 'logs'] } });
  const began = performance.now();
  const over = new AbortController();
  const seen: Seen = { heads: new Map(), artefacts: 0 };
  const aside = [watch(impound, name, seen, over.signal), keepAlive(impound, REPLICAS, over.signal)];
  try {
    const killed = await kill(impound, name, round, order, random);
    const told = killed.map(({ victim, milliseconds }) => `${victim} ${milliseconds} ms`).join(', ');
    const capture = await impound.untilPhase(name, ROUND_SECONDS, ...FINAL).catch((error: unknown) => {
      throw new Error(`seed ${SEED}, ${told}`, { cause: error });
    });
    const seconds = Math.round((performance.now() - began) / 1000);
    await examine(impound, capture, seen);
    const said = (type: string) => capture.status?.conditions?.find((condition) => condition.type === type);
    const [collected, held] = [said('Collected')?.reason, said('Protected')?.reason];
    const { prior } = capture.status ?? {};
    // where the others' kubelets have not been heard of for long enough, the last node that takes pods is held only
    const cordoned = held === 'Held';
    if (!cordoned && prior !== undefined)
      assert.equal(held, 'LastSchedulableNode', `${told}: ${JSON.stringify(said('Protected'))}`);
    assert.equal((await nodeOf(impound)).unschedulable, cordoned);
    return `${told}: ${capture.status?.phase}, ${collected}, ${held}, session ${capture.status?.session}, ${seconds} s`;
  } finally {
    over.abort();
    await Promise.all(aside);
    // also where something was wrong: the next round begins with a node that is free
    await impound.patch(name, { release: true });
    await impound.untilPhase(name, 60, 'Released');
    assert.deepEqual(await nodeOf(impound), FREE);
  }
}

const order = victims(randomOf(SEED));
for (let round = 0; round < ROUNDS; round++)
  scenario(`killed at random, round ${round + 1} of ${ROUNDS}`, async (bed, t) => {
    t.diagnostic(`IMPOUND_SEED=${SEED}`);
    t.diagnostic(await playRound(bed, round, order));
  });
