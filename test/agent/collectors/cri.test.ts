// The CRI collector and the containers that are known, on a real containerd.
import assert from 'node:assert/strict';
import { mkdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cri } from '../../../agent/collectors/cri.ts';
import { type KnownContainers, knownContainers } from '../../../agent/containers.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { at } from '../../../agent/runtime/json.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { missing, needs } from '../../helpers/component.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';
import {
  BUSYBOX_IMAGE,
  CONTAINERD_COMPONENTS,
  type Containerd,
  type Pod,
  startContainerd,
} from '../../testbed/containerd.ts';

const READY = missing(CONTAINERD_COMPONENTS) === undefined;
let bed: Containerd;
let web: Pod;
let job: Pod;
let minerId: string;
let guestId: string;
let digest: string;
let collected: Collected;

before(async () => {
  if (!READY) return;
  bed = await startContainerd();
  web = await bed.pod('web', ['sh', '-c', 'echo begun; sleep 1000; true'], {
    namespace: 'shop',
    env: { TOKEN: 'secret' },
    mounts: [{ host_path: '/usr/share', container_path: '/share' }],
  });
  // containerd writes down its beginning after it has begun, which fails where it has ended by then: it is told when to
  const told = join(bed.directory, 'told');
  await mkdir(told);
  job = await bed.pod('job', ['sh', '-c', 'until [ -e /told/end ]; do sleep 0.1; done; exit 3'], {
    mounts: [{ host_path: told, container_path: '/told' }],
  });
  await writeFile(join(told, 'end'), '');
  await bed.ended('k8s.io', job.containerId);
  minerId = await bed.run('hidden', 'miner', 'sleep', '1000');
  guestId = await bed.run('k8s.io', 'guest', 'sleep', '1000');
  const images = await bed.ctr('-n', 'hidden', 'images', 'list');
  digest = /sha256:[0-9a-f]{64}/.exec(images)?.[0] ?? '';
  // the CRI hears of a task's end a moment after containerd does
  for (let tries = 0; tries < 50; tries++) {
    collected = await collect(cri, sockets(bed.socket));
    if (at(rowOf('cri/containers', job.containerId), 'cri', 'state') === 'CONTAINER_EXITED') break;
    await sleep(100);
  }
});
after(async () => {
  if (READY) await bed.stop();
});

function sockets(socket: string) {
  return { criSockets: [socket], containerdSockets: [socket], dockerSockets: [] };
}

function rows(path: string): Record<string, unknown>[] {
  return rowsOf(collected.artefacts.get(`30-container/${path}.jsonl`));
}

function rowOf(path: string, id: string): Record<string, unknown> {
  const row = rows(path).find((candidate) => at(candidate, 'container', 'id') === id);
  assert.ok(row, `${id} is in ${path}`);
  return row;
}

async function startTicks(pid: unknown): Promise<string | undefined> {
  return (await readFile(`/proc/${pid}/stat`, 'latin1')).replace(/^.*\) /s, '').split(' ')[19];
}

test('a pod is told with its name, UID, processes and network namespace', async (t) => {
  if (!needs(t, ...CONTAINERD_COMPONENTS)) return;
  const row = rowOf('cri/sandboxes', web.sandboxId);
  const pod = { type: 'kubernetes', namespace: 'shop', resource: { type: 'pod', name: 'web', id: web.uid } };
  assert.deepEqual(at(row, 'orchestrator'), pod);
  assert.equal(at(row, 'cri', 'state'), 'SANDBOX_READY');
  assert.equal(at(row, 'cri', 'namespaces', 'network'), 'NODE');
  const pid = at(row, 'impound', 'process', 'pid');
  assert.equal(at(row, 'impound', 'process', 'startTicks'), await startTicks(pid));
  const inode = Number(/\d+/.exec(await readlink(`/proc/${pid}/ns/net`))?.[0]);
  assert.equal(at(row, 'cri', 'networkNamespace', 'inode'), inode);
});

test('a running container is told with image, environment, mounts, log, and the process it is', async (t) => {
  if (!needs(t, ...CONTAINERD_COMPONENTS)) return;
  const row = rowOf('cri/containers', web.containerId);
  assert.equal(at(row, 'container', 'name'), 'main');
  assert.equal(at(row, 'container', 'image', 'name'), BUSYBOX_IMAGE);
  assert.equal(at(row, 'orchestrator', 'resource', 'id'), web.uid);
  assert.equal(at(row, 'cri', 'state'), 'CONTAINER_RUNNING');
  assert.ok(JSON.stringify(at(row, 'cri', 'env')).includes('TOKEN=secret'));
  assert.deepEqual(at(row, 'cri', 'args'), ['sh', '-c', 'echo begun; sleep 1000; true']);
  assert.equal(at(row, 'cri', 'mounts', '0', 'hostPath'), '/usr/share');
  assert.match(await readFile(String(at(row, 'cri', 'logPath')), 'utf8'), /begun/);
  const pid = at(row, 'impound', 'process', 'pid');
  assert.equal(at(row, 'impound', 'process', 'startTicks'), await startTicks(pid));
  assert.equal((at(row, 'impound', 'processes') as unknown[]).length, 2, 'sh and sleep');
  assert.ok(Date.parse(String(at(row, 'cri', 'started'))) > Date.now() - 600_000);
});

test('a container that has ended is told with its exit code and when', async (t) => {
  if (!needs(t, ...CONTAINERD_COMPONENTS)) return;
  const row = rowOf('cri/containers', job.containerId);
  assert.equal(at(row, 'cri', 'state'), 'CONTAINER_EXITED');
  assert.equal(at(row, 'cri', 'exitCode'), 3);
  assert.ok(Date.parse(String(at(row, 'cri', 'finished'))) >= Date.parse(String(at(row, 'cri', 'started'))));
  assert.deepEqual(at(row, 'impound', 'processes'), []);
});

test('a container beside Kubernetes is told, in a namespace of its own or among the kubelet’s', async (t) => {
  if (!needs(t, ...CONTAINERD_COMPONENTS)) return;
  const miner = rowOf('containerd/containers', minerId);
  assert.equal(at(miner, 'containerd', 'namespace'), 'hidden');
  assert.equal(at(miner, 'impound', 'kubernetes'), false);
  assert.equal(at(miner, 'containerd', 'task', 'status'), 'RUNNING');
  const pid = at(miner, 'containerd', 'task', 'pid');
  assert.equal(at(miner, 'impound', 'process', 'startTicks'), await startTicks(pid));
  const guest = rowOf('containerd/containers', guestId);
  assert.equal(at(guest, 'impound', 'kubernetes'), false);
  assert.equal(at(guest, 'impound', 'listedByCri'), false);
  const main = rowOf('containerd/containers', web.containerId);
  assert.equal(at(main, 'impound', 'kubernetes'), true);
  assert.equal(at(main, 'impound', 'listedByCri'), true);
  const names = rows('containerd/namespaces').map((row) => at(row, 'containerd', 'namespace'));
  assert.deepEqual(names.sort(), ['hidden', 'k8s.io']);
  assert.equal(at(rowOf('containerd/tasks', minerId), 'process', 'pid'), pid);
});

test('images with their digests, snapshots, content and statistics are told', async (t) => {
  if (!needs(t, ...CONTAINERD_COMPONENTS)) return;
  const image = rows('containerd/images').find((row) => at(row, 'container', 'image', 'name') === BUSYBOX_IMAGE);
  assert.deepEqual(at(image, 'container', 'image', 'hash', 'all'), [digest]);
  assert.ok(rows('containerd/content').some((row) => at(row, 'containerd', 'digest') === digest));
  const snapshot = rows('containerd/snapshots').find((row) => at(row, 'containerd', 'key') === minerId);
  assert.equal(at(snapshot, 'containerd', 'kind'), 'ACTIVE');
  assert.ok(String(at(snapshot, 'containerd', 'layer', 'upper')).startsWith(bed.root));
  assert.ok(Number(at(rowOf('cri/stats', web.containerId), 'cri', 'memory', 'workingSetBytes')) > 0);
  assert.equal(at(rowOf('cri/stats', web.sandboxId), 'cri', 'kind'), 'sandbox');
  const tags = rows('cri/images').map((row) => at(row, 'container', 'image', 'name'));
  assert.ok(tags.includes(BUSYBOX_IMAGE));
  const [runtime] = JSON.parse(String(collected.artefacts.get('30-container/cri/runtime.json'))) as unknown[];
  assert.equal(at(runtime, 'version', 'runtimeName'), 'containerd');
});

test('every answer is kept as it came, and each connection is in the footprint', async (t) => {
  if (!needs(t, ...CONTAINERD_COMPONENTS)) return;
  const raw = collected.artefacts.get('30-container/cri/raw.tar.zst')?.toString('latin1') ?? '';
  assert.ok(raw.includes(`ContainerStatus/${web.containerId}.pb`));
  assert.ok(raw.includes('containerd.services.content.v1.Content/List/hidden.pb'));
  assert.deepEqual(
    collected.footprint.map(({ kind, name }) => [kind, name]),
    [
      ['connection', `unix://${bed.socket}`],
      ['connection', `unix://${bed.socket}`],
    ],
  );
  assert.deepEqual(collected.gaps, []);
});

test('known containers have their pods and overlay folders, ended ones too', async (t) => {
  if (!needs(t, ...CONTAINERD_COMPONENTS)) return;
  await bed.exec('k8s.io', web.containerId, 'touch', '/tmp/dropped');
  const known = await ask();
  assert.deepEqual(known.gaps, []);
  const main = known.containers.find(({ id }) => id === web.containerId);
  assert.deepEqual(main?.pod, { namespace: 'shop', name: 'web', uid: web.uid });
  assert.equal(main?.name, 'main');
  assert.equal(main?.running, true);
  assert.equal((await readFile(join(main?.layer?.upper ?? '', 'tmp/dropped'))).length, 0);
  assert.ok((await readFile(join(main?.layer?.lower[0] ?? '', 'etc/passwd'), 'utf8')).includes('root'));
  const ended = known.containers.find(({ id }) => id === job.containerId);
  assert.equal(ended?.running, false);
  assert.equal(ended?.pid, undefined);
  assert.ok(ended?.layer?.upper.startsWith(bed.root));
  const miner = known.containers.find(({ id }) => id === minerId);
  assert.equal(miner?.namespace, 'hidden');
  assert.deepEqual(miner?.pids, [miner?.pid]);
  assert.match(await readFile(`/proc/${miner?.pid}/cmdline`, 'utf8'), /^sleep/);

  async function ask(): Promise<KnownContainers> {
    const host = hostAt(await temporaryFolder(t));
    return knownContainers({ host, ...sockets(bed.socket), signal: new AbortController().signal });
  }
});
