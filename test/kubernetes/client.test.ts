// The client on a real API server: each way a request can fail, pages, watches, and who it is by a kubeconfig.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after } from 'node:test';
import { readAccess } from '../../kubernetes/access.ts';
import { type Kubernetes, type KubernetesObject, kubernetes, type List } from '../../kubernetes/client.ts';
import { missing } from '../helpers/component.ts';
import { CLUSTER_COMPONENTS } from '../testbed/cluster.ts';
import { CONFIG_MAPS, coded, compact, configMap, eventually, scenarioOf, startBed, startCutter } from './bed.ts';

const lacking = missing(CLUSTER_COMPONENTS);
const bed = await startBed(lacking);
const scenario = scenarioOf(bed, lacking);
const admin = (await bed?.client()) as Kubernetes;

scenario('an object is made, read, patched, replaced and removed', async () => {
  const path = `${CONFIG_MAPS}/life`;
  const made = await admin.create<KubernetesObject>(CONFIG_MAPS, configMap('life', { a: '1' }));
  assert.deepEqual(await admin.get(path), made);
  const patched = await admin.patch<KubernetesObject & { data: object }>(path, 'merge', { data: { b: '2' } });
  assert.deepEqual(patched.data, { a: '1', b: '2' });
  const replaced = await admin.replace<KubernetesObject & { data: object }>(path, { ...patched, data: { c: '3' } });
  assert.deepEqual(replaced.data, { c: '3' });
  const applied = await admin.patch<KubernetesObject & { data: object }>(path, 'apply', configMap('life', { d: '4' }), {
    query: { fieldManager: 'test' },
  });
  assert.deepEqual(applied.data, { c: '3', d: '4' });
  await admin.remove(path);
  await assert.rejects(admin.get(path), coded('api-missing'));
});

scenario('each refusal has its code, and the reason that the server tells', async () => {
  const path = `${CONFIG_MAPS}/refused`;
  const made = await admin.create<KubernetesObject>(CONFIG_MAPS, configMap('refused'));
  await admin.patch(path, 'merge', { data: { changed: 'meanwhile' } });
  await assert.rejects(admin.create(CONFIG_MAPS, configMap('refused')), coded('api-conflict', /already exists/));
  await assert.rejects(admin.replace(path, made), coded('api-conflict', /has been modified/));
  const { resourceVersion } = made.metadata;
  const late = { metadata: { resourceVersion }, data: { a: 'late' } };
  await assert.rejects(admin.patch(path, 'merge', late), coded('api-conflict', /has been modified/));
  await assert.rejects(admin.get('/apis/none.dev/v1/things'), coded('api-missing'));
  const invalid = admin.create(CONFIG_MAPS, configMap('not a name'));
  await assert.rejects(invalid, coded('api-invalid', /not a name/)); // 422
  await assert.rejects(admin.create(CONFIG_MAPS, { kind: 7 }), coded('api-invalid')); // 400
});

scenario('a name that would lead to another path is not sent', async () => {
  for (const path of [
    `${CONFIG_MAPS}/..`,
    `${CONFIG_MAPS}/`,
    '//example.org/api',
    `${CONFIG_MAPS}/a?b`,
    'api/v1/nodes',
    `${CONFIG_MAPS}/a b`,
  ])
    await assert.rejects(admin.get(path), coded('api-invalid', /a name is empty, or/));
});

scenario(
  'a service account by a token in a file, with a line feed, is who it is',
  async ({ cluster, client, folder }) => {
    const tokenFile = join(folder, 'token');
    await writeFile(tokenFile, `${await cluster.token('default')}\n`);
    for (const user of [{ tokenFile }, { tokenFile: 'token', token: 'no longer true' }]) {
      const account = await client({ user });
      const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
      const { status } = await account.create<{ status: { userInfo: { username: string } } }>(path, {});
      assert.equal(status.userInfo.username, 'system:serviceaccount:default:default');
      await assert.rejects(account.get('/api/v1/nodes'), coded('api-denied', /cannot list resource "nodes"/));
    }
    const forged = await client({ user: { token: 'forged' } });
    await assert.rejects(forged.get('/api/v1/nodes'), coded('api-denied', /Unauthorized/));
  },
);

scenario('a kubeconfig that cannot be used says why', async (bed) => {
  const unusable = async (content: string, why: RegExp): Promise<void> => {
    const path = join(bed.folder, 'unusable');
    await writeFile(path, content);
    await assert.rejects(readAccess(path), coded('api-unreachable', why));
  };
  await assert.rejects(readAccess('/nowhere/at-all'), coded('api-unreachable', /cannot be read: ENOENT/));
  await unusable('apiVersion: v1', /names no cluster/);
  await unusable('{', /cannot be read/);
  const config = (cluster: object, user: object = {}): string =>
    JSON.stringify({
      'current-context': 'c',
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    });
  await unusable(config({ server: 'http://127.0.0.1:1' }), /must be https/);
  await unusable(config({ server: 'nothing' }), /not a URL/);
  await unusable(config({ server: 'https://a', 'proxy-url': 'http://b' }), /proxy-url/);
  await unusable(config({ server: 'https://a' }, { tokenFile: '/nowhere/token' }), /credentials.*ENOENT/);
});

scenario('pages are put together', async () => {
  const names = Array.from({ length: 13 }, (_, index) => `page-${String(index).padStart(2, '0')}`);
  await Promise.all(names.map((name) => admin.create(CONFIG_MAPS, configMap(name, {}, { pages: 'yes' }))));
  const query = { labelSelector: 'pages=yes', limit: 5 };
  const { items, metadata } = await admin.list<KubernetesObject>(CONFIG_MAPS, { query });
  assert.deepEqual(
    items.map(({ metadata: { name } }) => name),
    names,
  );
  assert.match(metadata.resourceVersion, /^\d+$/);
  assert.equal(metadata.continue, undefined);
});

scenario('a watch has what comes, bookmarks, and an end', async () => {
  const { metadata } = await admin.list(CONFIG_MAPS);
  const query = { resourceVersion: metadata.resourceVersion, allowWatchBookmarks: true, timeoutSeconds: 4 };
  const seen: string[] = [];
  const made = admin.create(CONFIG_MAPS, configMap('watched'));
  for await (const { type, object } of admin.watch<KubernetesObject>(CONFIG_MAPS, { query })) {
    seen.push(`${type} ${object.metadata.name ?? ''}`);
    if (type === 'ADDED') await admin.remove(`${CONFIG_MAPS}/watched`);
  }
  await made;
  assert.deepEqual(seen.slice(0, 2), ['ADDED watched', 'DELETED watched']);
  assert.ok(seen.slice(2).length > 0 && seen.slice(2).every((line) => line.startsWith('BOOKMARK')), seen.join());
});

scenario('a watch that is silent, is given up, or is left, ends its connection', async ({ address, client }) => {
  const cutter = await startCutter(address);
  const watcher = await client({ address: cutter.address });
  const nothing = async (more: object): Promise<void> => {
    const query = { fieldSelector: 'metadata.name=nobody', resourceVersion: '0' };
    for await (const _ of watcher.watch(CONFIG_MAPS, { query, ...more })) assert.fail('nothing was to come');
  };
  const began = performance.now();
  await assert.rejects(nothing({ milliseconds: 700 }), coded('api-unreachable', /ETIMEDOUT/));
  assert.ok(performance.now() - began < 2000);
  const given = new AbortController();
  setTimeout(() => given.abort(), 300);
  await assert.rejects(nothing({ signal: given.signal }), coded('aborted'));
  for await (const _ of watcher.watch(CONFIG_MAPS)) break;
  await eventually(() => cutter.open === 0, 5);
});

scenario('a request that is given up ends at once', async () => {
  await assert.rejects(admin.get('/api/v1/nodes', { signal: AbortSignal.abort() }), coded('aborted'));
});

scenario('a server that is not there, or hangs, is unreachable in time', async ({ cluster, client }) => {
  const nobody = await client({ address: '127.0.0.1:1' });
  await assert.rejects(nobody.get('/api/v1/nodes'), coded('api-unreachable', /ECONNREFUSED/));
  await admin.get('/api/v1/nodes');
  cluster.apiServer.pause();
  try {
    for (const one of [admin, await client()]) {
      const began = performance.now();
      await assert.rejects(one.get('/api/v1/nodes', { milliseconds: 500 }), coded('api-unreachable', /ETIMEDOUT/));
      assert.ok(performance.now() - began < 1500);
      const given = new AbortController();
      setTimeout(() => given.abort(), 200);
      await assert.rejects(one.get('/api/v1/nodes', { signal: given.signal }), coded('aborted'));
    }
  } finally {
    cluster.apiServer.resume();
  }
  await admin.get('/api/v1/nodes');
});

scenario('a kept connection that was closed does not fail a read', async ({ address, client }) => {
  const cutter = await startCutter(address);
  const reader = await client({ address: cutter.address });
  for (let round = 0; round < 20; round++) {
    await reader.get('/api/v1/namespaces/default');
    cutter.cut();
  }
});

scenario('a server whose path has a prefix is asked below it', async (bed) => {
  const access = await readAccess(bed.kubeconfig);
  const below = kubernetes({ ...access, server: new URL('/api', access.server) });
  after(below.close);
  const { metadata } = await below.get<KubernetesObject>('/v1/namespaces/default');
  assert.equal(metadata.name, 'default');
});

scenario('what was compacted is expired', async ({ cluster }) => {
  const query = { limit: 1 };
  await admin.create(CONFIG_MAPS, configMap('of-the-second-page'));
  const page = await admin.get<List<KubernetesObject>>(CONFIG_MAPS, { query });
  assert.ok(page.metadata.continue);
  await admin.create(CONFIG_MAPS, configMap('after-the-page'));
  await compact(cluster);
  // what it still had in memory is forgotten too
  await cluster.apiServer.kill();
  await cluster.apiServer.start();
  const rest = admin.list(CONFIG_MAPS, { query: { ...query, continue: page.metadata.continue } });
  await assert.rejects(rest, coded('api-expired', /too old/));
  const { resourceVersion } = page.metadata;
  for await (const event of admin.watch<{ code: number }>(CONFIG_MAPS, { query: { resourceVersion } })) {
    assert.deepEqual([event.type, event.object.code], ['ERROR', 410]);
    break;
  }
});
