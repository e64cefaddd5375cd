// CRI-O's and podman's storage on disk, as a tree of the shape they write it (containers/storage, driver overlay).
import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { cri } from '../../../agent/collectors/cri.ts';
import { knownContainers } from '../../../agent/containers.ts';
import { type Host, hostAt } from '../../../agent/host/host.ts';
import { at } from '../../../agent/runtime/json.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';
import { walkThatSaw } from '../../helpers/walk.ts';

const WEB = 'a1'.repeat(32);
const BOX = 'b2'.repeat(32);
const LAYER = 'c3'.repeat(32);
const BASE = 'd4'.repeat(32);
const UID = 'bfe30a18-e2d4-4251-856c-9dcafa01cc02';
const STORAGE = 'var/lib/containers/storage';
const RUN = 'run/containers/storage';

/** One container of CRI-O that runs as PID 4711, and one of podman that has ended. */
async function host(t: TestContext): Promise<Host> {
  const root = await temporaryFolder(t);
  const put = async (path: string, content: unknown): Promise<void> => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), typeof content === 'string' ? content : JSON.stringify(content));
  };
  const labels = {
    'io.kubernetes.container.name': 'main',
    'io.kubernetes.pod.name': 'web',
    'io.kubernetes.pod.namespace': 'shop',
    'io.kubernetes.pod.uid': UID,
  };
  await put(`${STORAGE}/overlay-containers/containers.json`, [
    {
      id: WEB,
      names: [`k8s_main_web_shop_${UID}_0`],
      image: 'e5'.repeat(32),
      layer: LAYER,
      metadata: JSON.stringify({ 'pod-name': `k8s_web_shop_${UID}_0`, 'pod-id': 'f6'.repeat(32), name: 'main' }),
      created: '2026-11-21T08:00:00Z',
    },
    { id: BOX, names: ['toolbox'], layer: BASE, metadata: '{"image-name":"localhost/box:1","name":"toolbox"}' },
    { id: '../../../etc', names: ['trap'], layer: '../../..' },
  ]);
  const annotations = {
    'io.kubernetes.cri-o.ContainerType': 'container',
    'io.kubernetes.cri-o.ImageName': 'registry.example/web:7',
    'io.kubernetes.cri-o.Labels': JSON.stringify(labels),
  };
  const process = { args: ['nginx'], env: ['TOKEN=secret'] };
  await put(`${STORAGE}/overlay-containers/${WEB}/userdata/config.json`, { annotations, process });
  await put(`${STORAGE}/overlay-containers/${WEB}/userdata/state.json`, { pid: 4711, started: '2026-11-21T08:00:01Z' });
  await put(`${RUN}/overlay-containers/${WEB}/userdata/pidfile`, '4711');
  await put(`proc/4711/cgroup`, `0::/kubepods.slice/crio-${WEB}.scope\n`);
  // another process has this PID now
  await put(`${RUN}/overlay-containers/${BOX}/userdata/pidfile`, '4712\n');
  await put(`proc/4712/cgroup`, '0::/user.slice\n');
  await put(`${STORAGE}/overlay/${LAYER}/diff/dropped`, 'x');
  await put(`${STORAGE}/overlay/${LAYER}/lower`, 'l/ABCDEFGHIJKLMNOPQRSTUVWXYZ:l/../../..:l/GONE:l/TRAP');
  await put(`${STORAGE}/overlay/${BASE}/diff/etc/passwd`, 'root');
  await mkdir(join(root, STORAGE, 'overlay/l'));
  await symlink(`../${BASE}/diff`, join(root, STORAGE, 'overlay/l/ABCDEFGHIJKLMNOPQRSTUVWXYZ'));
  await put('etc/passwd', 'root');
  await symlink('/etc', join(root, STORAGE, 'overlay/l/TRAP'));
  await put(`${STORAGE}/overlay-layers/layers.json`, [{ id: LAYER, parent: BASE }]);
  return hostAt(root);
}

function collected(on: Host): Promise<Collected> {
  const walk = walkThatSaw({ pid: 4711, startTicks: '99', comm: 'nginx', netns: 5, sockets: [] });
  return collect(cri, { host: on, walk, criSockets: [], containerdSockets: [] });
}

test('containers of CRI-O and podman are told from their storage, and the files are kept', async (t) => {
  const { artefacts, gaps } = await collected(await host(t));
  const [web, box, ...rest] = rowsOf(artefacts.get('30-container/cri-o/containers.jsonl'));
  assert.deepEqual(rest, []);
  assert.equal(at(web, 'container', 'runtime'), 'cri-o');
  assert.deepEqual(at(web, 'orchestrator', 'resource'), { type: 'pod', name: 'web', id: UID });
  assert.deepEqual(at(web, 'storage', 'env'), ['TOKEN=secret']);
  assert.deepEqual(at(web, 'impound', 'process'), { pid: 4711, startTicks: '99', comm: 'nginx', netns: 5 });
  assert.equal(at(box, 'container', 'runtime'), 'podman');
  assert.equal(at(box, 'container', 'image', 'name'), 'localhost/box:1');
  const archive = artefacts.get('30-container/cri-o/storage.tar.zst')?.toString('latin1') ?? '';
  assert.ok(archive.includes(`${WEB}/userdata/config.json`));
  assert.ok(archive.includes('overlay-layers/layers.json'));
  assert.ok(!archive.includes('dropped'), "a layer's files are another collector's");
  const reasons = gaps
    .filter(({ name }) => name.includes('/overlay/l/'))
    .map(({ name, reason }) => [basename(name), reason]);
  assert.deepEqual(reasons, [
    ['GONE', 'vanished'],
    ['TRAP', 'skipped'],
  ]);
});

test('they are known with their overlay folders, none of them outside the storage', async (t) => {
  const on = await host(t);
  const sources = { host: on, dockerSockets: [], criSockets: [], containerdSockets: [] };
  const { containers } = await knownContainers({ ...sources, signal: new AbortController().signal });
  assert.deepEqual(containers, [
    {
      id: WEB,
      engine: 'cri-o',
      name: 'main',
      image: 'registry.example/web:7',
      pod: { namespace: 'shop', name: 'web', uid: UID },
      running: true,
      pid: 4711,
      layer: { upper: `/${STORAGE}/overlay/${LAYER}/diff`, lower: [`/${STORAGE}/overlay/${BASE}/diff`] },
    },
    {
      id: BOX,
      engine: 'podman',
      name: 'toolbox',
      image: 'localhost/box:1',
      running: false,
      layer: { upper: `/${STORAGE}/overlay/${BASE}/diff`, lower: [] },
    },
  ]);
});

test('a list that is no JSON is a gap', async (t) => {
  const root = await temporaryFolder(t);
  await mkdir(join(root, STORAGE, 'overlay-containers'), { recursive: true });
  await writeFile(join(root, STORAGE, 'overlay-containers/containers.json'), '{');
  const { gaps } = await collected(hostAt(root));
  const name = `/${STORAGE}/overlay-containers/containers.json`;
  assert.deepEqual(
    gaps.filter((found) => found.name === name),
    [{ reason: 'failed', name, detail: 'it is not JSON' }],
  );
});
