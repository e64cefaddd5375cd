// A cluster with two controllers over an S3 of its own, and a place from which many agents speak, each from an address of its
// own. Nothing of it goes through a relay but what the bench asks itself.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { S3Client } from '@aws-sdk/client-s3';
import { cacheDirectory, goPrograms } from '../../test/testbed/components.ts';
import type { Scope } from '../../test/testbed/http-daemon.ts';
import { type Impound, startImpound } from '../../test/testbed/impound.ts';
import { makeBucket } from '../../test/testbed/s3.ts';
import { ALLOCATOR, checkout } from '../measure.ts';
import { limited } from './limited.ts';

type Daemon = Impound['cluster']['controllerManager'];

/** The agents' place: a node without a controller. */
export const AGENTS = 'node1';
export const REPLICAS = ['node2', 'node3'] as const;
export type Replica = (typeof REPLICAS)[number];

/** Of the pods' network, beyond that of any node: kube-proxy leaves the source of a connection from there as it is. */
const ADDRESSES = '10.244.64.0/18';
const STORE = '10.99.0.1:17070';
const BUCKET = 'evidence';
const READY_MILLISECONDS = 30_000;
const LOOK_MILLISECONDS = 50;
const SLICE = '/apis/discovery.k8s.io/v1/namespaces/impound-system/endpointslices/impound-controller';
const LEASE = '/apis/coordination.k8s.io/v1/namespaces/impound-system/leases/impound-controller';

export interface FleetBed {
  /** Its `s3` is where this process reaches the store. */
  readonly impound: Impound;
  controller(replica: Replica): Daemon;
  /** The replica that leads; waits for one. */
  leader(): Promise<Replica>;
  /** Ends what a cluster needs for pods to be placed and run, when none are any more: it shares the machine with who is measured. */
  calm(): Promise<void>;
  /** Those that the service leads to. */
  serve(replicas: readonly Replica[]): Promise<void>;
  /** Answered over HTTPS: "/metrics". */
  readonly urls: Readonly<Record<Replica, string>>;
  /** Each request to the store is a line of this file. */
  readonly storeLog: string;
  /** Each request to the API server is a line of JSON in it. */
  readonly audit: string;
}

/** The nth agent's, from 0 on. */
export function addressOf(index: number): string {
  return `10.244.${64 + Math.floor(index / 250)}.${1 + (index % 250)}`;
}

export async function startFleetBed(scope: Scope): Promise<FleetBed> {
  const limit = { node2: await limited(scope, 'node2'), node3: await limited(scope, 'node3') };
  const impound = await startImpound(scope, {
    controllers: [],
    agents: [],
    config: (file) => ({ ...file, store: { ...file.store, endpoint: `http://${STORE}` } }),
  });
  const { cluster } = impound;
  const address = (name: string): string => cluster.nodes.find((node) => node.name === name)?.address ?? '';
  await cluster.run(AGENTS, ['ip', 'route', 'add', 'local', ADDRESSES, 'dev', 'lo']);
  for (const replica of REPLICAS) await cluster.run(replica, ['ip', 'route', 'add', ADDRESSES, 'via', address(AGENTS)]);
  const { endpoint, storeLog } = await startStore(impound);
  const kubeconfig = join(cluster.directory, 'impound', 'kubeconfig');
  const running = {} as Record<Replica, Daemon>;
  const urls = {} as Record<Replica, string>;
  for (const replica of REPLICAS) {
    const env = {
      ...{ ...ALLOCATOR, ...impound.aws },
      ...{ POD_NAMESPACE: impound.namespace, POD_NAME: podOf(replica), NODE_NAME: replica, POD_IP: address(replica) },
    };
    const program = join(checkout, 'dist/controller/main.js');
    const words = [process.execPath, program, '--config', impound.configFile, '--kubeconfig', kubeconfig];
    running[replica] = await cluster.start(replica, 'controller', limit[replica](words), env);
    urls[replica] = await impound.reach(replica);
  }
  const serve = async (replicas: readonly Replica[]): Promise<void> => {
    const endpoints = replicas.map((name) => ({ addresses: [address(name)], conditions: { ready: true } }));
    await cluster.api('PATCH', SLICE, { endpoints });
  };
  await serve(REPLICAS);
  const leader = async (): Promise<Replica> => {
    const end = Date.now() + READY_MILLISECONDS;
    for (;;) {
      const lease = await cluster.api('GET', LEASE).catch(() => undefined); // there is none before the first leader
      const { holderIdentity } = (lease as { spec?: { holderIdentity?: string } } | undefined)?.spec ?? {};
      const found = REPLICAS.find((replica) => podOf(replica) === holderIdentity && running[replica].runs);
      if (found !== undefined) return found;
      if (Date.now() > end) throw new Error(`no replica leads: see ${running.node2.log}`);
      await sleep(LOOK_MILLISECONDS);
    }
  };
  const calm = async (): Promise<void> => {
    const { controllerManager, nodes } = cluster;
    await Promise.all([controllerManager, ...nodes.map(({ kubelet }) => kubelet)].map((daemon) => daemon.kill()));
  };
  await leader();
  return {
    impound: { ...impound, s3: { ...impound.s3, endpoint } },
    ...{ leader, calm, serve, urls, storeLog },
    controller: (replica) => running[replica],
    audit: join(cluster.directory, 'control', 'log', 'audit'),
  };
}

function podOf(replica: string): string {
  return `controller-${replica}`;
}

/** With the accounts of the bed's own, which stands outside of the cluster's networks. */
async function startStore({ cluster, s3 }: Impound): Promise<{ readonly endpoint: string; readonly storeLog: string }> {
  const folder = join(cluster.directory, 'store');
  const [root, versions] = [join(folder, 'root'), join(folder, 'versions')];
  await mkdir(folder);
  await Promise.all([mkdir(root), mkdir(versions)]);
  const storeLog = join(folder, 'requests.log');
  const program = join(goPrograms(cacheDirectory()), 'versitygw');
  await cluster.start('control', 'store', [
    ...[program, '--port', STORE, '--access', s3.accessKeyId, '--secret', s3.secretAccessKey, '--keep-alive'],
    ...['--access-log', storeLog, '--quiet', 'posix', '--versioning-dir', versions, root],
  ]);
  const endpoint = `http://${await cluster.reach('control', STORE)}`;
  const { region, accessKeyId, secretAccessKey } = s3;
  const credentials = { accessKeyId, secretAccessKey };
  const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true, maxAttempts: 10 });
  await makeBucket(client, { name: BUCKET, objectLock: { mode: 'GOVERNANCE', days: 1 } });
  client.destroy();
  return { endpoint, storeLog };
}
