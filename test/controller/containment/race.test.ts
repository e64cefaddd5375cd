// Others write to the node at the same time, it is deleted and made anew, the API server dies: what is done stays exact.
import assert from 'node:assert/strict';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { applyHold, type HoldRequest, verifyHold } from '../../../controller/containment/hold.ts';
import { stateOf, TAINT } from '../../../controller/containment/marks.ts';
import { NODES } from '../../../controller/containment/node.ts';
import { releaseHold } from '../../../controller/containment/release.ts';
import type { Kubernetes } from '../../../kubernetes/client.ts';
import { fileBed } from '../../helpers/file-bed.ts';
import { CLUSTER_COMPONENTS } from '../../testbed/cluster.ts';
import { type ControllerBed, captureOf, nodeOf, recorded, startControllerBed } from './bed.ts';

const scenario = await fileBed(CLUSTER_COMPONENTS, () => startControllerBed(3));

async function requested(on: ControllerBed, name: string, node: string): Promise<HoldRequest> {
  return { ...(await recorded(on, captureOf(name, node))), captures: [] };
}

/** The same client, with something done before each of its first patches. */
function disturbed(client: Kubernetes, times: number, disturb: () => Promise<unknown>): Kubernetes {
  let left = times;
  return {
    ...client,
    async patch(...words) {
      if (left-- > 0) await disturb();
      return await client.patch(...words);
    },
  };
}

scenario('another who writes in between loses nothing, and neither do we', async (on) => {
  const request = await requested(on, 'raced', 'node2');
  let written = 0;
  const taint = async (): Promise<void> => {
    const { spec } = await nodeOf(on.admin, 'node2');
    const taints = [...(spec.taints ?? []), { key: `theirs-${++written}`, effect: 'PreferNoSchedule' }];
    await on.admin.patch(`${NODES}/node2`, 'merge', { spec: { taints } });
  };
  const keys = async (): Promise<readonly string[]> =>
    ((await nodeOf(on.admin, 'node2')).spec.taints ?? [])
      .map(({ key }) => key)
      .filter((key) => /^(theirs|impound)/.test(key));
  const applied = await applyHold(disturbed(on.controller, 3, taint), request);
  assert.equal(applied.changed, true);
  assert.deepEqual(await keys(), ['theirs-1', 'theirs-2', 'theirs-3', TAINT]);
  const outcome = await releaseHold(disturbed(on.controller, 3, taint), request);
  assert.deepEqual([outcome.outcome, outcome.left, outcome.after], ['restored', [], applied.before]);
  assert.deepEqual(
    await keys(),
    [1, 2, 3, 4, 5, 6].map((number) => `theirs-${number}`),
  );
  await on.admin.patch(`${NODES}/node2`, 'merge', { spec: { taints: null } });
});

scenario('who writes without an end ends it with a conflict, and nothing is changed', async (on) => {
  const request = await requested(on, 'endless', 'node2');
  const before = stateOf(await nodeOf(on.admin, 'node2'));
  let count = 0;
  const annotate = (): Promise<unknown> =>
    on.admin.patch(`${NODES}/node2`, 'merge', { metadata: { annotations: { race: `${++count}` } } });
  const client = disturbed(on.controller, Number.POSITIVE_INFINITY, annotate);
  await assert.rejects(applyHold(client, request), { code: 'api-conflict' });
  assert.deepEqual(stateOf(await nodeOf(on.admin, 'node2')), before);
});

scenario('of the last two nodes that take pods, one at least stays so', async (on) => {
  await on.cluster.kubectl('cordon', 'node3');
  const requests = [await requested(on, 'two-1', 'node1'), await requested(on, 'two-2', 'node2')];
  // each is decided upon while the other is still open
  const gate = Promise.withResolvers<void>();
  let waiting = 0;
  const together = async (): Promise<void> => {
    if (++waiting === requests.length) gate.resolve();
    await gate.promise;
  };
  const outcomes = await Promise.all(
    requests.map((request) => applyHold(disturbed(on.controller, 1, together), request)),
  );
  const open = await Promise.all(
    ['node1', 'node2'].map(async (name) => stateOf(await nodeOf(on.admin, name)).taint === null),
  );
  assert.ok(open.includes(true));
  for (const [index, { refused, after }] of outcomes.entries()) {
    assert.deepEqual(
      refused.map(({ reason }) => reason),
      open[index] ? ['last-schedulable-node'] : [],
    );
    assert.equal(after?.unschedulable, !open[index]);
  }
  const given = await Promise.all(requests.map((request) => releaseHold(on.controller, request)));
  for (const { outcome, left } of given) assert.deepEqual([outcome, left], ['restored', []]);
  await on.cluster.kubectl('uncordon', 'node3');
});

scenario('another node under the same name is left alone, and said', async (on) => {
  const request = await requested(on, 'remade', 'node3');
  await applyHold(on.controller, request);
  await on.cluster.nodes[2]?.kubelet.pause();
  const { metadata, spec } = await nodeOf(on.admin, 'node3');
  await on.admin.remove(`${NODES}/node3`);
  const reasons = async (): Promise<readonly string[]> => [
    ...(await applyHold(on.controller, request)).refused.map(({ reason }) => reason),
    ...(await verifyHold(on.controller, request)).refused.map(({ reason }) => reason),
    (await releaseHold(on.controller, request)).outcome,
  ];
  assert.deepEqual(await reasons(), [...Array(4).fill('node-gone'), 'node-gone']);
  const { taints: _, unschedulable: __, ...open } = spec;
  await on.admin.create(NODES, { metadata: { name: 'node3', labels: metadata.labels }, spec: open });
  const made = stateOf(await nodeOf(on.admin, 'node3'));
  assert.deepEqual(await reasons(), [...Array(4).fill('another-node'), 'another-node']);
  assert.deepEqual(stateOf(await nodeOf(on.admin, 'node3')), made);
  // a capture of the new node has a prior of its own, whatever the old one's capture says
  const { prior } = await recorded(on, captureOf('remade-again', 'node3'), [request.capture]);
  assert.notEqual(prior.nodeUid, request.prior.nodeUid);
  assert.equal(prior.unschedulable, false);
  assert.equal((await recorded(on, request.capture)).prior, request.prior);
  await on.cluster.nodes[2]?.kubelet.resume();
});

/** Relays to the API server; once `mute` is called, what the server answers is lost. */
async function relay(reached: string): Promise<{ readonly address: string; mute(): void; close(): void }> {
  const [host = '', port = ''] = reached.split(':');
  const sockets = new Set<Socket>();
  let muted = false;
  const server = createServer((near) => {
    const far = connect(Number(port), host);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy()).on('close', () => [near, far].forEach((end) => void end.destroy()));
    }
    near.pipe(far);
    far.on('data', (bytes) => muted || near.write(bytes));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    mute() {
      muted = true;
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

scenario('an API server that is killed between patch and answer: again is the same', async (on) => {
  const request = await requested(on, 'killed', 'node2');
  const before = stateOf(await nodeOf(on.admin, 'node2'));
  for (const step of ['apply', 'release'] as const) {
    const work = step === 'apply' ? applyHold : releaseHold;
    const way = await relay(on.reached);
    try {
      const client = disturbed(await on.through(way.address), 1, async () => way.mute());
      const lost = assert.rejects(work(client, request), { code: 'api-unreachable' });
      const done = step === 'apply' ? 'killed' : null;
      for (const end = Date.now() + 10_000; stateOf(await nodeOf(on.admin, 'node2')).taint !== done; )
        assert.ok(Date.now() < end, 'the patch did not arrive');
      await on.cluster.apiServer.kill();
      await lost;
    } finally {
      way.close();
    }
    await on.cluster.apiServer.start();
    const again = await work(on.controller, request);
    if ('changed' in again) assert.deepEqual([again.changed, again.after?.taint, again.refused], [false, 'killed', []]);
    else assert.deepEqual([again.outcome, again.after, again.left], ['as-before', before, []]);
  }
});
