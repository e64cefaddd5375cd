// A bed of one node, clients of its API server, and a connection to it that can be cut.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ImpoundError, type Logger } from '../../evidence/index.ts';
import { readAccess } from '../../kubernetes/access.ts';
import { type Kubernetes, kubernetes } from '../../kubernetes/client.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { type Cluster, startCluster } from '../testbed/cluster.ts';

export interface Bed {
  readonly cluster: Cluster;
  /** Where the API server is reached: "127.0.0.1:PORT". */
  readonly address: string;
  readonly folder: string;
  /** The administrator's. */
  readonly kubeconfig: string;
  /** Of `user` where given; `address` where not by the bed's own relay. It ends with the file's tests. */
  client(options?: { readonly user?: object; readonly address?: string }): Promise<Kubernetes>;
  writeKubeconfig(name: string, options?: { readonly user?: object; readonly address?: string }): Promise<string>;
}

/** `lacking`: what `missing(CLUSTER_COMPONENTS)` says. */
export async function startBed(lacking: string | undefined): Promise<Bed | undefined> {
  if (lacking !== undefined && process.env.CI !== 'true') return undefined;
  assert.equal(lacking, undefined);
  const cluster = await startCluster({ after });
  const folder = await fileTemporaryFolder();
  const address = await cluster.reach('control', '127.0.0.1:16443');
  const { ca, certificate, key } = cluster.admin;
  const admin = { 'client-certificate': certificate, 'client-key': key };
  let number = 0;
  const writeKubeconfig: Bed['writeKubeconfig'] = async (name, { user = admin, address: at = address } = {}) => {
    const path = join(folder, name);
    const config = {
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'bed' },
      clusters: [{ name: 'bed', cluster: { server: `https://${at}`, 'certificate-authority': ca } }],
      users: [{ name: 'somebody', user }],
      contexts: [{ name: 'bed', context: { cluster: 'bed', user: 'somebody' } }],
    };
    await writeFile(path, JSON.stringify(config));
    return path;
  };
  return {
    ...{ cluster, address, folder, writeKubeconfig, kubeconfig: await writeKubeconfig('admin.kubeconfig') },
    async client(options) {
      const client = kubernetes(await readAccess(await writeKubeconfig(`${number++}.kubeconfig`, options)));
      after(client.close);
      return client;
    },
  };
}

/** Named tests that share the bed, skipped where something is lacking. */
export function scenarioOf(
  bed: Bed | undefined,
  lacking: string | undefined,
): (name: string, work: (bed: Bed) => Promise<void>) => void {
  return (name, work) => {
    test(name, { skip: bed === undefined && (lacking ?? true) }, async () => {
      assert.ok(bed);
      await work(bed);
    });
  };
}

export interface Cutter {
  readonly address: string;
  /** How many connections it has now. */
  readonly open: number;
  /** Resets what is open. */
  cut(): void;
  /** What is open stays, and nothing passes; new connections are taken, and are silent too. */
  freeze(isFrozen: boolean): void;
}

export async function startCutter(target: string): Promise<Cutter> {
  const [host = '', port] = target.split(':');
  const sockets = new Set<Socket>();
  let frozen = false;
  /** Whoever is frozen hears of nothing: no connection, no end, no reset. */
  let thawed = Promise.withResolvers<void>();
  thawed.resolve();
  const relay = (one: Socket, other: Socket): void => {
    one.pipe(other, { end: false });
    one.on('end', () => void thawed.promise.then(() => other.end()));
    one.on('close', () => void thawed.promise.then(() => other.destroy()));
    if (frozen) one.pause();
  };
  const take = (socket: Socket): Socket => {
    sockets.add(socket);
    return socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  };
  const server = createServer(async (socket) => {
    const taken = take(socket);
    await thawed.promise;
    if (taken.destroyed) return;
    const made = take(connect({ host, port: Number(port) }));
    relay(taken, made);
    relay(made, taken);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  after(() => {
    server.close();
    cut();
  });
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get open() {
      return sockets.size / 2;
    },
    cut,
    freeze(isFrozen) {
      frozen = isFrozen;
      if (isFrozen) thawed = Promise.withResolvers();
      else thawed.resolve();
      for (const socket of sockets) {
        if (isFrozen) socket.pause();
        else socket.resume();
      }
    },
  };
}

export interface Line {
  readonly level: keyof Logger;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export function collectingLog(): Logger & { readonly lines: readonly Line[] } {
  const lines: Line[] = [];
  const write =
    (level: keyof Logger) =>
    (message: string, fields: Line['fields'] = {}) =>
      void lines.push({ level, message, fields });
  return { lines, debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

export async function eventually(probe: () => boolean | Promise<boolean>, seconds = 20): Promise<void> {
  for (const end = performance.now() + seconds * 1000; !(await probe()); ) {
    assert.ok(performance.now() < end, `not within ${seconds} s: ${probe}`);
    await sleep(20);
  }
}

export const coded =
  (code: string, message = /./) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof ImpoundError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };

export const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';

export function configMap(name: string, data: object = {}, labels: object = {}): object {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels }, data };
}

/** Takes away from etcd what it knew of the past. */
export async function compact(cluster: Cluster): Promise<void> {
  const etcd = new URL(`https://${await cluster.reach('control', '127.0.0.1:12379')}/`);
  const client = await cluster.certificate('etcd-client', '/CN=etcd-client');
  const [ca, cert, key] = await Promise.all([client.ca, client.certificate, client.key].map((path) => readFile(path)));
  const agent = new Agent({ ca, cert, key });
  const post = async (path: string, body: object): Promise<unknown> => {
    const asked = request(new URL(path, etcd), { method: 'POST', agent });
    asked.end(JSON.stringify(body));
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    const text = await buffer(answer);
    assert.equal(answer.statusCode, 200, text.toString());
    return JSON.parse(text.toString());
  };
  const { header } = (await post('/v3/kv/range', { key: 'YQ==' })) as { header: { revision: string } };
  await post('/v3/kv/compaction', { revision: header.revision, physical: true });
  agent.destroy();
}
