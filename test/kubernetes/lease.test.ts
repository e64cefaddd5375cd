// The election on a real API server: one leader at a time, handed over at once, lost in time, whatever stands still.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Kubernetes } from '../../kubernetes/client.ts';
import { type Election, type ElectOptions, elect, type Taken } from '../../kubernetes/lease.ts';
import { missing } from '../helpers/component.ts';
import { CLUSTER_COMPONENTS } from '../testbed/cluster.ts';
import { type Bed, coded, collectingLog, eventually, type Line, scenarioOf, startBed, startCutter } from './bed.ts';

const TIMES = { leaseMilliseconds: 3000, renewMilliseconds: 2000, retryMilliseconds: 400 };
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/default/leases';

interface Contender extends Election {
  readonly identity: string;
  readonly lines: readonly Line[];
  /** One for each time that it led. */
  readonly tenures: readonly (Taken & { readonly signal: AbortSignal })[];
  end(): Promise<void>;
}

const lacking = missing(CLUSTER_COMPONENTS);
const bed = await startBed(lacking);
const scenario = scenarioOf(bed, lacking);
const admin = (await bed?.client()) as Kubernetes;

function contend(kubernetes: Kubernetes, name: string, identity: string, more: Partial<ElectOptions> = {}): Contender {
  const ending = new AbortController();
  const log = collectingLog();
  const tenures: (Taken & { readonly signal: AbortSignal })[] = [];
  const annotations = { 'impound.dev/address': `https://10.0.0.1:${identity.length}` };
  const election = elect({
    ...{ kubernetes, namespace: 'default', name, identity, annotations, log, signal: ending.signal, ...TIMES },
    async led(signal, taken) {
      tenures.push({ signal, ...taken });
      if (!signal.aborted) await once(signal, 'abort');
    },
    ...more,
  });
  const end = (): Promise<void> => {
    ending.abort();
    return election.ended;
  };
  after(end);
  return { ...election, identity, lines: log.lines, tenures, end };
}

/** Looks at all of them every few milliseconds: never two at once, by what they say. */
function supervise(...contenders: readonly Contender[]): { readonly most: number; leader(): Contender | undefined } {
  let most = 0;
  const timer = setInterval(() => {
    most = Math.max(most, contenders.filter((one) => one.isLeader()).length);
  }, 3);
  after(() => clearInterval(timer));
  return {
    get most() {
      return most;
    },
    leader: () => contenders.find((one) => one.isLeader()),
  };
}

async function three({ client }: Bed, name: string, more: Partial<ElectOptions> = {}): Promise<Contender[]> {
  const clients = await Promise.all([client(), client(), client()]);
  return clients.map((one, index) => contend(one, name, `replica-${'x'.repeat(index)}`, more));
}

const within = async (milliseconds: number, probe: () => boolean): Promise<number> => {
  const began = performance.now();
  await eventually(probe, milliseconds / 1000);
  return performance.now() - began;
};

scenario('of three one leads, the others know where; each that ends hands over at once', async (bed) => {
  const all = await three(bed, 'handed');
  const watch = supervise(...all);
  await within(3000, () => watch.leader() !== undefined);
  for (let rest = all; rest.length > 1; ) {
    await within(3000, () => watch.leader() !== undefined);
    const leader = watch.leader();
    assert.ok(leader);
    await within(1000, () => rest.every((one) => one.leader()?.identity === leader.identity));
    for (const one of rest) assert.equal(one.leader()?.address, `https://10.0.0.1:${leader.identity.length}`);
    rest = rest.filter((one) => one !== leader);
    await leader.end();
    assert.equal(leader.isLeader(), false);
    assert.equal(leader.tenures[0]?.signal.aborted, true);
    const took = await within(1000, () => rest.some((one) => one.isLeader()));
    console.log(`handed over after ${Math.round(took)} ms`);
  }
  await Promise.all(all.map((one) => one.end()));
  const { spec } = await admin.get<{ spec: object }>(`${LEASES}/handed`);
  assert.equal('holderIdentity' in spec && spec.holderIdentity !== '', false);
  assert.equal(watch.most, 1);
  assert.ok(all.every(({ tenures }) => tenures.length <= 1));
});

scenario('one that steps down leaves a note, and comes back when it may', async (bed) => {
  const all = await three(bed, 'stepping');
  const watch = supervise(...all);
  await within(3000, () => watch.leader() !== undefined);
  const first = watch.leader();
  assert.ok(first);
  let may = false;
  await first.stepDown(() => may, 'it is on the suspect node');
  assert.equal(first.isLeader(), false);
  await within(1000, () => watch.leader() !== undefined);
  assert.equal(watch.leader()?.tenures[0]?.steppedDown, 'it is on the suspect node');
  await Promise.all(all.filter((one) => one !== first).map((one) => one.end()));
  await sleep(3500);
  assert.equal(first.isLeader(), false);
  may = true;
  await within(1500, () => first.isLeader());
  assert.equal(first.tenures[1]?.steppedDown, undefined);
  await first.stepDown(1500, 'for a while');
  await sleep(1200);
  assert.equal(first.isLeader(), false);
  await within(2500, () => first.isLeader());
  assert.equal(watch.most, 1);
  await first.end();
});

scenario('one that may not lead does not contend, and knows who leads', async ({ client }) => {
  const forbidden = contend(await client(), 'forbidden', 'forbidden', { mayLead: () => false });
  await sleep(1500);
  assert.equal(forbidden.leader(), undefined);
  const other = contend(await client(), 'forbidden', 'other');
  await within(2000, () => forbidden.leader()?.identity === 'other');
  assert.equal(other.isLeader(), true);
  await Promise.all([forbidden.end(), other.end()]);
  assert.equal(forbidden.tenures.length, 0);
});

scenario('a leader that is cut off has lost in time, before another leads', async ({ address, client }) => {
  const cutter = await startCutter(address);
  const first = contend(await client({ address: cutter.address }), 'cut-off', 'first');
  await within(2000, () => first.isLeader());
  const second = contend(await client(), 'cut-off', 'second');
  const watch = supervise(first, second);
  await sleep(1000);
  cutter.freeze(true);
  const lost = await within(2500, () => first.tenures[0]?.signal.aborted === true);
  assert.equal(first.isLeader(), false);
  const taken = await within(3000, () => second.isLeader());
  console.log(`lost after ${Math.round(lost)} ms, taken ${Math.round(taken)} ms later`);
  assert.equal(second.tenures[0]?.previous, 'first');
  cutter.freeze(false);
  await within(4000, () => first.leader()?.identity === 'second');
  assert.equal(watch.most, 1);
  await Promise.all([first.end(), second.end()]);
});

scenario('a leader that was blocked knows that it lost before anything else is done', async ({ client }) => {
  const one = contend(await client(), 'blocked', 'one');
  await within(2000, () => one.isLeader());
  const until = performance.now() + 2200;
  while (performance.now() < until); // timers cannot run
  assert.equal(one.isLeader(), false);
  assert.equal(one.tenures[0]?.signal.aborted, true);
  await within(3000, () => one.isLeader());
  assert.equal(one.tenures.length, 2);
  await one.end();
});

scenario('a lease that another wrote or deleted is given up at once', async ({ client }) => {
  const one = contend(await client(), 'meddled', 'one');
  await within(2000, () => one.isLeader());
  const path = `${LEASES}/meddled`;
  await admin.patch(path, 'merge', { metadata: { annotations: { note: 'of a person' } } });
  await sleep(1500);
  assert.equal(one.tenures.length, 1);
  assert.equal(one.isLeader(), true);
  await admin.patch(path, 'merge', { spec: { holderIdentity: 'meddler', renewTime: '2001-01-01T00:00:00.000000Z' } });
  await within(1000, () => !one.isLeader());
  const took = await within(4500, () => one.isLeader());
  assert.ok(took > 2000, 'what another holds is waited out by our own clock, whatever time it says');
  await admin.remove(path);
  await within(1000, () => one.tenures[1]?.signal.aborted === true);
  await within(2000, () => one.isLeader());
  await one.end();
});

scenario('work that does not end keeps the lease from being handed over early', async ({ client }) => {
  const done = Promise.withResolvers<void>();
  const slow = contend(await client(), 'slow', 'slow', { led: () => done.promise });
  await within(2000, () => slow.isLeader());
  const next = contend(await client(), 'slow', 'next');
  await sleep(700);
  const began = performance.now();
  const ended = slow.end();
  assert.equal(slow.isLeader(), false);
  await within(6000, () => next.isLeader());
  assert.ok(performance.now() - began > 2000);
  done.resolve();
  await ended;
  await next.end();
});

scenario('work that fails lets another lead', async ({ client }) => {
  const failing = contend(await client(), 'failing', 'failing', { led: () => Promise.reject(new Error('broken')) });
  await within(2000, () => failing.lines.some(({ level }) => level === 'error'));
  const next = contend(await client(), 'failing', 'next');
  await within(3000, () => next.isLeader());
  await Promise.all([failing.end(), next.end()]);
});

scenario('times that do not fit each other are refused', async ({ client }) => {
  const kubernetes = await client();
  assert.throws(() => contend(kubernetes, 'x', 'x', { renewMilliseconds: 3000 }), coded('usage'));
});

scenario('an API server that is away, or hangs, for 20 s: nobody leads, then one', async (bed) => {
  const times = { leaseMilliseconds: 15_000, renewMilliseconds: 10_000, retryMilliseconds: 2000 };
  const all = await three(bed, 'away', times);
  const watch = supervise(...all);
  await within(4000, () => watch.leader() !== undefined);
  const { apiServer } = bed.cluster;
  for (const [stop, start] of [
    [apiServer.pause, apiServer.resume],
    [apiServer.kill, apiServer.start],
  ]) {
    const leader = watch.leader();
    assert.ok(leader && stop && start);
    await stop();
    const lost = await within(10_500, () => leader.tenures.at(-1)?.signal.aborted === true);
    assert.equal(watch.leader(), undefined);
    await sleep(20_000 - lost);
    await start();
    const back = await within(20_000, () => watch.leader() !== undefined);
    console.log(`lost after ${Math.round(lost)} ms, led again ${Math.round(back)} ms after the server was back`);
  }
  assert.equal(watch.most, 1);
  await Promise.all(all.map((one) => one.end()));
});

interface Said {
  readonly at: bigint;
  readonly leads: boolean;
}

function startContender({ kubeconfig }: Bed, name: string, identity: string): ChildProcess & { readonly said: Said[] } {
  const words = [
    fileURLToPath(import.meta.resolve('./contender.ts')),
    kubeconfig,
    name,
    identity,
    JSON.stringify(TIMES),
  ];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  after(() => child.kill('SIGKILL'));
  const said: Said[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { at, leads } = JSON.parse(line) as { at: string; leads: boolean };
    said.push({ at: BigInt(at), leads });
  });
  return Object.assign(child, { said });
}

scenario('a process that is stopped, or killed, is followed by another; continued, it knows', async (bed) => {
  const first = startContender(bed, 'process', 'first');
  await within(5000, () => first.said.at(-1)?.leads === true);
  const second = startContender(bed, 'process', 'second');
  await within(5000, () => second.said.length > 0);
  await sleep(1000);
  first.kill('SIGSTOP');
  const stopped = process.hrtime.bigint();
  await within(6000, () => second.said.at(-1)?.leads === true);
  await sleep(1000);
  first.kill('SIGCONT');
  await sleep(1500);
  const after = first.said.filter(({ at }) => at > stopped + 500_000_000n);
  assert.ok(after.length > 0 && after.every(({ leads }) => !leads));
  second.kill('SIGKILL');
  const took = await within(6000, () => first.said.at(-1)?.leads === true);
  console.log(`taken ${Math.round(took)} ms after its holder was killed`);
  first.kill('SIGTERM');
  assert.deepEqual(await once(first, 'exit'), [0, null]);
  assert.equal(first.said.at(-1)?.leads, false);
});
