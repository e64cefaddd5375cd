// The supervised watch on a real API server that dies, hangs, forgets, and behind connections that break.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kubernetes, KubernetesObject } from '../../kubernetes/client.ts';
import { type Watched, watchObjects } from '../../kubernetes/watch.ts';
import { missing } from '../helpers/component.ts';
import { CLUSTER_COMPONENTS } from '../testbed/cluster.ts';
import {
  CONFIG_MAPS,
  collectingLog,
  compact,
  configMap,
  eventually,
  type Line,
  scenarioOf,
  startBed,
  startCutter,
} from './bed.ts';

interface ConfigMap extends KubernetesObject {
  readonly data?: Readonly<Record<string, string>>;
}

interface Following extends Watched<ConfigMap> {
  /** "name=value" of what came, "name gone" of what went, in order; emptied by `taken`. */
  taken(): readonly string[];
  readonly lines: readonly Line[];
  end(): void;
}

const lacking = missing(CLUSTER_COMPONENTS);
const bed = await startBed(lacking);
const scenario = scenarioOf(bed, lacking);
const admin = (await bed?.client()) as Kubernetes;

/** Follows the objects with this label. */
function follow(
  kubernetes: Kubernetes,
  label: string,
  more: { readonly silenceMilliseconds?: number; readonly metadataOnly?: boolean } = {},
): Following {
  const ending = new AbortController();
  after(() => ending.abort());
  const log = collectingLog();
  let told: string[] = [];
  const watched = watchObjects<ConfigMap>({
    ...{ kubernetes, path: CONFIG_MAPS, query: { labelSelector: `of=${label}` }, log, signal: ending.signal, ...more },
    changed(name, object) {
      assert.equal(watched?.get(name), object);
      told.push(object === undefined ? `${name} gone` : `${name}=${object.data?.v ?? ''}`);
    },
  });
  const taken = (): readonly string[] => {
    const all = told;
    told = [];
    return all;
  };
  // what is defined by getters stays so
  return Object.assign(Object.create(watched, Object.getOwnPropertyDescriptors(watched)), {
    ...{ taken, lines: log.lines, end: () => ending.abort() },
  });
}

const put = (label: string, name: string, v: string): Promise<unknown> =>
  admin.create(CONFIG_MAPS, configMap(name, { v }, { of: label }));
const change = (name: string, v: string): Promise<unknown> =>
  admin.patch(`${CONFIG_MAPS}/${name}`, 'merge', { data: { v } });
const remove = (name: string): Promise<void> => admin.remove(`${CONFIG_MAPS}/${name}`);

/** What is changed while it is away, and what has to be told of it. */
const AWAY = ['default/changed=2', 'default/gone gone', 'default/made=1', 'default/renewed gone', 'default/renewed=2'];

async function prepare(label: string): Promise<void> {
  await clear();
  for (const name of ['same', 'changed', 'gone', 'renewed']) await put(label, name, '1');
}
async function changeAll(label: string): Promise<void> {
  await change('changed', '2');
  await remove('gone');
  await put(label, 'made', '1');
  await remove('renewed');
  await put(label, 'renewed', '2');
  await put(label, 'passing', '1');
  await remove('passing');
}
async function clear(): Promise<void> {
  const { items } = await admin.list<ConfigMap>(CONFIG_MAPS, { query: { labelSelector: 'of' } });
  for (const { metadata } of items) await remove(metadata.name);
}

/** Of a watch that lost nothing, or listed: what passed meanwhile may be told. */
async function toldOf(following: Following): Promise<readonly string[]> {
  const all: string[] = [];
  await eventually(() => {
    all.push(...following.taken());
    return AWAY.every((line) => all.includes(line));
  }, 40).catch((error: unknown) => assert.fail(`${error}: ${all.join(', ')}\n${JSON.stringify(following.lines)}`));
  return all.filter((line) => !line.startsWith('default/passing')).sort();
}

scenario('what is there is told first, then what changes', async () => {
  await prepare('plain');
  const following = follow(admin, 'plain');
  assert.equal(following.healthy, false);
  await following.synced;
  assert.equal(following.healthy, true);
  assert.deepEqual(
    [...following.taken()].sort(),
    ['changed', 'gone', 'renewed', 'same'].map((name) => `default/${name}=1`),
  );
  await changeAll('plain');
  assert.deepEqual(await toldOf(following), AWAY);
  assert.equal(following.get('default/changed')?.data?.v, '2');
  assert.equal(following.get('default/gone'), undefined);
  // what passes goes last of all
  await eventually(() => following.all().length === 4);
  following.end();
  await following.ended;
  following.taken();
  await change('changed', '3');
  await sleep(200);
  assert.deepEqual(following.taken(), []);
  await clear();
});

scenario('cut connections cost nothing, each object is told once', async ({ address, client }) => {
  const cutter = await startCutter(address);
  const following = follow(await client({ address: cutter.address }), 'cut');
  await following.synced;
  for (let round = 0; round < 30; round++) {
    await put('cut', `cut-${round}`, String(round));
    if (round % 3 === 0) cutter.cut();
  }
  await eventually(() => following.all().length === 30);
  const told = following.taken();
  assert.deepEqual(
    told,
    Array.from({ length: 30 }, (_, round) => `default/cut-${round}=${round}`),
  );
  assert.ok(following.lines.some(({ message }) => message === 'a watch broke off'));
  following.end();
  await clear();
});

scenario('a connection that hangs is left', async ({ address, client }) => {
  await prepare('hang');
  const cutter = await startCutter(address);
  const following = follow(await client({ address: cutter.address }), 'hang', { silenceMilliseconds: 1500 });
  await following.synced;
  following.taken();
  cutter.freeze(true);
  await changeAll('hang');
  await eventually(() => !following.healthy, 5);
  assert.deepEqual(following.taken(), []);
  cutter.freeze(false);
  assert.deepEqual(await toldOf(following), AWAY);
  assert.equal(following.healthy, true);
  following.end();
  await clear();
});

scenario('where nobody changes anything the server is heard of all the same', async () => {
  await clear();
  const following = follow(admin, 'quiet', { silenceMilliseconds: 1500 });
  await following.synced;
  for (const end = Date.now() + 6000; Date.now() < end; await sleep(100)) assert.equal(following.healthy, true);
  assert.deepEqual(following.lines, []);
  following.end();
});

scenario('of metadata only: no more is asked for, and no more is kept than says which object it is', async () => {
  await clear();
  const following = follow(admin, 'lean', { metadataOnly: true });
  await following.synced;
  await put('lean', 'first', '1');
  await eventually(() => following.all().length === 1);
  following.end();
  const again = follow(admin, 'lean', { metadataOnly: true });
  await again.synced;
  for (const [found] of [following.all(), again.all()]) {
    assert.equal(found?.data, undefined);
    const kept = ['name', 'namespace', 'resourceVersion', 'uid'];
    assert.deepEqual(Object.keys(found?.metadata ?? {}).sort(), kept);
  }
  again.end();
  await clear();
});

scenario('what happened while the server was killed and started again is told', async ({ cluster }) => {
  await prepare('killed');
  const following = follow(admin, 'killed');
  await following.synced;
  following.taken();
  await cluster.apiServer.kill();
  await sleep(2000);
  await cluster.apiServer.start();
  await changeAll('killed');
  assert.deepEqual(await toldOf(following), AWAY);
  following.end();
  await clear();
});

scenario('a version that the server has forgotten leads to a list, at once', async ({ cluster, address, client }) => {
  await prepare('forgotten');
  const cutter = await startCutter(address);
  const following = follow(await client({ address: cutter.address }), 'forgotten');
  await following.synced;
  following.taken();
  cutter.freeze(true);
  await changeAll('forgotten');
  await compact(cluster);
  await cluster.apiServer.kill();
  await cluster.apiServer.start();
  assert.deepEqual(following.taken(), []);
  cutter.freeze(false);
  cutter.cut();
  assert.deepEqual(await toldOf(following), AWAY);
  const codes = following.lines.flatMap(({ fields: { code } }) => code ?? []);
  assert.equal(codes.at(-1), 'api-expired', JSON.stringify(following.lines));
  await change('changed', '3');
  await eventually(() => following.get('default/changed')?.data?.v === '3', 3);
  following.end();
  await clear();
});

scenario('a server that is stopped in its tracks and let go on is followed again', async ({ cluster }) => {
  await prepare('stopped');
  const following = follow(admin, 'stopped', { silenceMilliseconds: 2000 });
  await following.synced;
  following.taken();
  cluster.apiServer.pause();
  await sleep(5000);
  assert.equal(following.healthy, false);
  cluster.apiServer.resume();
  await changeAll('stopped');
  assert.deepEqual(await toldOf(following), AWAY);
  following.end();
  await clear();
});

scenario(
  'a server that refuses is asked again, ever more seldom, and followed once it lets us',
  async ({ client, cluster }) => {
    const path = '/api/v1/nodes';
    const ending = new AbortController();
    const log = collectingLog();
    const account = await client({ user: { token: await cluster.token('default') } });
    const watched = watchObjects({ kubernetes: account, path, log, signal: ending.signal, changed: () => undefined });
    await sleep(2500);
    const waits = log.lines.map(({ fields }) => Number(fields.wait));
    assert.ok(waits.length >= 4 && waits.length <= 8, JSON.stringify(log.lines));
    assert.ok(log.lines.every(({ fields }) => fields.code === 'api-denied'));
    assert.equal(watched.healthy, false);
    const binding = [
      'clusterrolebinding',
      'sees-nodes',
      '--clusterrole=sees-nodes',
      '--serviceaccount=default:default',
    ];
    await cluster.kubectl('create', 'clusterrole', 'sees-nodes', '--verb=list,watch', '--resource=nodes');
    await cluster.kubectl('create', ...binding);
    await watched.synced;
    assert.equal(watched.healthy, true);
    assert.equal(watched.all().length, 1);
    ending.abort();
    await watched.ended;
  },
);
