// The CRI collector where no runtime is, where one hangs, lies, or is no runtime at all.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { cri } from '../../../agent/collectors/cri.ts';
import { knownContainers } from '../../../agent/containers.ts';
import type { NodeContext } from '../../../agent/context.ts';
import { hostAt } from '../../../agent/host/host.ts';
import type { ProcessSummary } from '../../../agent/host/walk.ts';
import { at } from '../../../agent/runtime/json.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { fileSocketFolder } from '../../helpers/temporary.ts';
import { timed } from '../../helpers/timed.ts';
import { walkThatSaw } from '../../helpers/walk.ts';
import { BUSYBOX, startDockerd } from '../../testbed/dockerd.ts';
import { type Meddling, startMeddler } from '../../testbed/meddler.ts';

const { folder, next: socketPath } = await fileSocketFolder();

/** A machine with nothing on it but these sockets and processes. */
function on(overrides: Partial<NodeContext>, ...processes: readonly ProcessSummary[]): Promise<Collected> {
  const walk = walkThatSaw(...processes);
  return collect(cri, { criSockets: [], containerdSockets: [], host: hostAt(folder), walk, ...overrides });
}

async function meddler(t: TestContext, what: Meddling): Promise<string> {
  return (await startMeddler(t, socketPath(), undefined, () => what)).socket;
}

/** A gRPC server that gives these bytes to every call it is asked, or this status. */
async function answering(t: TestContext, answer: (method: string) => Buffer | number): Promise<string> {
  const socket = socketPath();
  const server = new grpc.Server();
  const paths = [
    ...['Version', 'Status', 'ListPodSandbox', 'ListContainers', 'ContainerStatus', 'PodSandboxStatus'].map(
      (name) => `/runtime.v1.RuntimeService/${name}`,
    ),
    '/runtime.v1.ImageService/ListImages',
  ];
  const raw = { requestDeserialize: (bytes: Buffer) => bytes, responseSerialize: (bytes: Buffer) => bytes };
  const pass = {
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
    ...raw,
  } as const;
  for (const path of paths) {
    server.addService(
      { call: { path, ...pass } },
      {
        call: (_call: unknown, done: grpc.sendUnaryData<Buffer>) => {
          const found = answer(path.split('/')[2] ?? '');
          if (typeof found === 'number') done({ code: found, details: 'no' });
          else done(null, found);
        },
      },
    );
  }
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  t.after(() => server.forceShutdown());
  return socket;
}

test('no runtime at any socket is a gap for each kind that says how to name one', async () => {
  const socket = join(folder, 'none');
  const { artefacts, gaps } = await on({ criSockets: [socket], containerdSockets: [socket] });
  assert.equal(artefacts.size, 0);
  assert.deepEqual(
    gaps.map(({ reason, name }) => [reason, name]),
    [
      ['absent', 'CRI runtime'],
      ['absent', 'containerd'],
    ],
  );
  assert.match(gaps[0]?.detail ?? '', new RegExp(`answers at unix://${socket}; .*--cri SOCKET`));
  assert.match(gaps[1]?.detail ?? '', /--containerd SOCKET/);
});

test('a runtime that runs and answers at none of the sockets is no absence', async () => {
  const { gaps } = await on({}, { pid: 4711, startTicks: '1', comm: 'containerd', sockets: [] });
  assert.deepEqual(
    gaps.map(({ reason }) => reason),
    ['failed', 'failed'],
  );
  assert.match(gaps[0]?.detail ?? '', /containerd runs as pid 4711: name its socket with --cri SOCKET/);
});

test('a containerd within a container is not taken for the node’s', async () => {
  const inside = { pid: 4711, startTicks: '1', comm: 'containerd', sockets: [], container: { containerId: 'a' } };
  const { gaps } = await on({}, inside);
  assert.ok(gaps.every(({ reason }) => reason === 'absent'));
});

test('a hung runtime, a FIFO and garbage are each a gap, in bounded time', async (t) => {
  const fifo = socketPath();
  execFileSync('mkfifo', [fifo]);
  const hung = await meddler(t, 'hang');
  const garbage = await meddler(t, Buffer.from('\0\xff no HTTP/2', 'latin1'));
  const all = [fifo, hung, garbage];
  const { value, seconds } = await timed(() => on({ criSockets: all, containerdSockets: all }));
  assert.ok(seconds < 6, `${seconds} s`);
  assert.equal(value.artefacts.size, 0);
  const reasons = new Map(value.gaps.map(({ name, reason }) => [name, reason]));
  assert.equal(reasons.get(`CRI runtime at unix://${fifo}`), 'failed');
  assert.equal(reasons.get(`CRI runtime at unix://${hung}`), 'timeout');
  assert.ok(['failed', 'timeout'].includes(reasons.get(`CRI runtime at unix://${garbage}`) ?? ''));
  assert.equal(reasons.get(`containerd at unix://${hung}`), 'timeout');
});

test('known containers of a hung runtime are a gap, in bounded time', async (t) => {
  const containerdSockets = [await meddler(t, 'hang')];
  const sources = { host: hostAt(folder), dockerSockets: [], criSockets: [], containerdSockets };
  const { signal } = new AbortController();
  const { value, seconds } = await timed(() => knownContainers({ ...sources, signal }));
  assert.deepEqual(value.containers, []);
  assert.equal(value.gaps.length, 1);
  assert.ok(seconds < 7, `${seconds} s`);
});

test('a capture that is stopped lets go of a runtime that hangs', async (t) => {
  const criSockets = [await meddler(t, 'hang')];
  const { value, seconds } = await timed(() => on({ criSockets, signal: AbortSignal.timeout(300) }));
  assert.ok(value.gaps.some(({ reason }) => reason === 'aborted'));
  assert.ok(seconds < 2, `${seconds} s`);
});

test('answers that are no messages are gaps, and the other tables go on', async (t) => {
  const socket = await answering(t, (method) =>
    // field 1 with more bytes than there are
    method === 'ListPodSandbox' ? Buffer.from([0x0a, 0xff, 0x01, 0x41]) : Buffer.alloc(0),
  );
  const { artefacts, gaps } = await on({ criSockets: [socket] });
  const named = gaps.find(({ name }) => name === `pod sandboxes of unix://${socket}`);
  assert.equal(named?.reason, 'failed');
  assert.match(named?.detail ?? '', /not the message it should be/);
  assert.ok(artefacts.get('30-container/cri/raw.tar.zst')?.includes('ListPodSandbox.pb'), 'it is kept all the same');
  assert.deepEqual(rowsOf(artefacts.get('30-container/cri/containers.jsonl')), []);
  assert.ok(gaps.some(({ reason, detail }) => reason === 'unsupported' && detail?.includes('does not have this call')));
});

test('a container that cannot be asked about is still listed, whatever its id and times are', async (t) => {
  const id = '../../etc/x\n';
  const entry = Buffer.concat([
    Buffer.from([0x0a, id.length]),
    Buffer.from(id),
    Buffer.from([0x38, ...Array(9).fill(0xff), 0x01]),
  ]);
  const socket = await answering(t, (method) => {
    if (method === 'ContainerStatus') return grpc.status.NOT_FOUND;
    return method === 'ListContainers' ? Buffer.concat([Buffer.from([0x0a, entry.length]), entry]) : Buffer.alloc(0);
  });
  const { artefacts, gaps } = await on({ criSockets: [socket] });
  const [row] = rowsOf(artefacts.get('30-container/cri/containers.jsonl'));
  assert.equal(at(row, 'container', 'id'), id);
  assert.equal(at(row, 'impound', 'listing'), 'listed');
  assert.equal(gaps.find(({ name }) => name === `container ${id}`)?.reason, 'vanished');
  const raw = artefacts.get('30-container/cri/raw.tar.zst')?.toString('latin1') ?? '';
  assert.doesNotMatch(raw, /"path":"[^"]*\.\.\//);
});

test('an answer of a million empty entries is refused before it is taken apart', async (t) => {
  const entries = Buffer.alloc(2_000_000);
  for (let at = 0; at < entries.length; at += 2) entries[at] = 0x0a;
  const socket = await answering(t, (method) => (method === 'ListContainers' ? entries : Buffer.alloc(0)));
  const { gaps } = await on({ criSockets: [socket] });
  assert.equal(gaps.find(({ name }) => name === `containers of unix://${socket}`)?.reason, 'truncated');
});

test('a server that knows no CRI is told apart from none', async (t) => {
  const socket = await answering(t, () => grpc.status.UNIMPLEMENTED);
  const { gaps } = await on({ criSockets: [socket] });
  assert.equal(gaps.find(({ name }) => name === `CRI runtime at unix://${socket}`)?.reason, 'unsupported');
});

test('Docker’s containers are known once, though its containerd lists them too', async (t) => {
  if (!needs(t, 'dockerd', 'docker', 'busybox')) return;
  const bed = await startDockerd();
  t.after(() => bed.stop());
  const id = await bed.run('--name', 'web', BUSYBOX, 'sleep', '1000');
  const socket = join(bed.directory, 'exec', 'containerd', 'containerd.sock');
  const sources = { host: hostAt(folder), criSockets: [], containerdSockets: [socket] };
  const { signal } = new AbortController();
  const both = await knownContainers({ ...sources, dockerSockets: [bed.socket], signal });
  assert.deepEqual(
    both.containers.map((container) => [container.id, container.engine]),
    [[id, 'docker']],
  );
  const one = await knownContainers({ ...sources, dockerSockets: [], signal });
  assert.deepEqual(
    one.containers.map((container) => [container.id, container.namespace, container.running]),
    [[id, 'moby', true]],
  );
  const { gaps, artefacts } = await on({ criSockets: [socket], containerdSockets: [socket] });
  assert.equal(gaps.find(({ name }) => name === `CRI runtime at unix://${socket}`)?.reason, 'absent');
  const [row] = rowsOf(artefacts.get('30-container/containerd/containers.jsonl'));
  assert.equal(at(row, 'containerd', 'namespace'), 'moby');
  assert.equal(at(row, 'impound', 'kubernetes'), false);
});
