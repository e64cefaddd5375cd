// Impound on a cluster of the tests' own: controllers and agents as programs on its nodes, each with the identity that its
// pod has, over a real S3.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateKeyFiles } from '../../evidence/index.ts';
import { FINALIZER, type NodeCapture, type NodeCaptureRequest } from '../../protocol/index.ts';
import { CLUSTER_COMPONENTS, type Cluster, type ClusterNode, type Daemon, type Pod, startCluster } from './cluster.ts';
import type { Scope } from './http-daemon.ts';
import { API_FILES } from './manifests.ts';
import { type S3, S3_COMPONENTS, startS3 } from './s3.ts';

/** What `needs` is told for a test that starts it. */
export const IMPOUND_COMPONENTS = [...CLUSTER_COMPONENTS, ...S3_COMPONENTS] as const;

const PROGRAMS = join(import.meta.dirname, '../..');
/** Sources run as they are; what was built runs what was built beside it. */
const ENDING = import.meta.filename.endsWith('.js') ? 'js' : 'ts';
const NAMESPACE = 'impound-system';
const SERVICE = `impound-controller.${NAMESPACE}.svc`;
const PORT = 8443;
const BUCKET = 'evidence';
const CAPTURES = '/apis/impound.dev/v1alpha1/nodecaptures';
const POLL_MILLISECONDS = 50;
/** All nodes of a bed see the machine's processes, and with them the Docker engines of tests beside it, which answer nobody here. */
export const SKIPPED_ON_BEDS: readonly string[] = ['docker'];

export interface ImpoundOptions {
  /** Nodes that have a controller; node2 alone where absent. */
  readonly controllers?: readonly string[];
  /** Nodes that have an agent; node1 alone where absent. */
  readonly agents?: readonly string[];
  /** Changes the controllers' configuration. */
  readonly config?: (config: ControllerFile) => object;
  /** As a store: a folder on the machine instead of S3. */
  readonly directory?: string;
}

export interface ControllerFile {
  readonly cluster: string;
  readonly store: object;
  readonly key: string;
  readonly listen: object;
  readonly service: string;
}

export interface Agent {
  readonly pod: Pod;
  readonly program: Daemon;
  /** Path of its token on its node, as the kubelet keeps it. */
  readonly token: string;
}

export interface Impound {
  readonly cluster: Cluster;
  readonly s3: S3;
  readonly namespace: string;
  /** The controllers' public key. */
  readonly publicKey: string;
  /** PEM of the authority of the controllers' certificate. */
  readonly ca: string;
  readonly configFile: string;
  /** For the environment of a program that reads the store. */
  readonly aws: Readonly<Record<string, string>>;
  controller(node: string): Daemon;
  agent(node: string): Agent;
  /** URL at which this machine reaches a node's controller; its certificate has the service's name. */
  reach(node: string): Promise<string>;
  readonly serverName: string;
  /** Creates a NodeCapture as the command line does, in the admin's name; encryption none, reason given, without what is skipped on beds. */
  capture(name: string, spec: Partial<NodeCaptureRequest>): Promise<NodeCapture>;
  get(name: string): Promise<NodeCapture>;
  patch(name: string, spec: object): Promise<void>;
  remove(name: string): Promise<void>;
  /** Waits until it is so; throws with the capture as it was last. */
  until(name: string, seconds: number, is: (capture: NodeCapture) => boolean): Promise<NodeCapture>;
  untilPhase(name: string, seconds: number, ...phases: readonly string[]): Promise<NodeCapture>;
}

export async function startImpound(scope: Scope, options: ImpoundOptions = {}): Promise<Impound> {
  const { controllers = ['node2'], agents = ['node1'] } = options;
  const [cluster, s3] = await Promise.all([startCluster(scope, { nodes: 3 }), startS3(scope)]);
  const [published] = await Promise.all([
    cluster.publish(new URL(s3.endpoint).host),
    s3.makeBucket({ name: BUCKET, objectLock: { mode: 'GOVERNANCE', days: 1 } }),
    cluster.kubectl('apply', '--server-side', ...API_FILES),
  ]);
  const folder = join(cluster.directory, 'impound');
  await mkdir(folder);
  const key = join(folder, 'signing.pem');
  const addresses = cluster.nodes.map(({ address }) => `IP:${address}`).join(',');
  const [certificate] = await Promise.all([
    cluster.certificate('controller', `/CN=${SERVICE}`, `DNS:${SERVICE},${addresses}`),
    generateKeyFiles(key),
    cluster.kubectl('wait', '--for=condition=Established', '--timeout=20s', 'crd/nodecaptures.impound.dev'),
  ]);
  const nodeOf = (name: string): ClusterNode => {
    const node = cluster.nodes.find((one) => one.name === name);
    if (node === undefined) throw new Error(`there is no ${name}`);
    return node;
  };
  const file: ControllerFile = {
    cluster: 'bed',
    store:
      options.directory === undefined
        ? { url: `s3://${BUCKET}/bundles`, endpoint: `http://${published}`, region: s3.region }
        : { url: options.directory },
    key,
    listen: { port: PORT, certificate: certificate.certificate, key: certificate.key },
    service: `https://${SERVICE}:${PORT}`,
  };
  const configFile = join(folder, 'controller.yaml');
  await writeFile(configFile, JSON.stringify(options.config?.(file) ?? file));
  await cluster.apply(...service(controllers.map((name) => nodeOf(name).address)));
  const credentials = { AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey };
  const kubeconfig = await controllerKubeconfig(cluster, folder);
  const running = new Map<string, Daemon>();
  for (const node of controllers) {
    const env = { ...credentials, POD_NAMESPACE: NAMESPACE, POD_NAME: `controller-${node}`, NODE_NAME: node };
    const words = ['--config', configFile, '--kubeconfig', kubeconfig, '--log-level', 'debug'];
    const program = [process.execPath, join(PROGRAMS, `controller/main.${ENDING}`), ...words];
    running.set(node, await cluster.start(node, 'controller', program, { ...env, POD_IP: nodeOf(node).address }));
  }
  const started = await Promise.all(
    agents.map(async (node) => [node, await startAgent(cluster, nodeOf(node), certificate.ca)] as const),
  );
  const found = <T>(map: ReadonlyMap<string, T>, name: string): T => {
    const one = map.get(name);
    if (one === undefined) throw new Error(`nothing was started on ${name}`);
    return one;
  };
  const get = async (name: string) => (await cluster.api('GET', `${CAPTURES}/${name}`)) as NodeCapture;
  const until: Impound['until'] = async (name, seconds, is) => {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      const capture = await get(name).catch(() => undefined); // the API server may be one of those that are killed
      if (capture !== undefined && is(capture)) return capture;
      if (Date.now() > end) throw new Error(`not so after ${seconds} s: ${JSON.stringify(capture, null, 1)}`);
      await sleep(POLL_MILLISECONDS);
    }
  };
  const agentsByNode = new Map(started);
  return {
    ...{ cluster, s3, namespace: NAMESPACE, publicKey: `${key}.pub`, ca: certificate.ca, configFile, until, get },
    serverName: SERVICE,
    aws: { ...credentials, AWS_REGION: s3.region, AWS_ENDPOINT_URL_S3: s3.endpoint },
    controller: (node) => found(running, node),
    agent: (node) => found(agentsByNode, node),
    reach: async (node) => `https://${await cluster.reach(node, `${nodeOf(node).address}:${PORT}`)}`,
    async capture(name, spec) {
      const who = { requestedBy: 'admin', reason: 'a test', encryption: { none: true }, node: 'node1' };
      const collectors = { ...spec.collectors, skip: [...SKIPPED_ON_BEDS, ...(spec.collectors?.skip ?? [])] };
      const made = { ...who, ...spec, collectors };
      const metadata = { name, finalizers: [FINALIZER] };
      const object = { apiVersion: 'impound.dev/v1alpha1', kind: 'NodeCapture', metadata, spec: made };
      return (await cluster.api('POST', CAPTURES, object)) as NodeCapture;
    },
    async patch(name, spec) {
      await cluster.kubectl('patch', 'ncap', name, '--type=merge', '-p', JSON.stringify({ spec }));
    },
    async remove(name) {
      await cluster.kubectl('delete', 'ncap', name, '--wait=false');
    },
    untilPhase: (name, seconds, ...phases) =>
      until(name, seconds, ({ status }) => phases.includes(status?.phase ?? 'Pending')),
  };
}

/** A service without a selector, since the controllers here are no pods. */
function service(addresses: readonly string[]): readonly object[] {
  const metadata = { name: 'impound-controller', namespace: NAMESPACE };
  return [
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ name: 'https', port: PORT, targetPort: PORT }] } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': metadata.name } },
      addressType: 'IPv4',
      ports: [{ name: 'https', port: PORT, protocol: 'TCP' }],
      endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    },
  ];
}

async function controllerKubeconfig(cluster: Cluster, folder: string): Promise<string> {
  const token = await cluster.token(`${NAMESPACE}/impound-controller`, { seconds: 24 * 3600 });
  const file = join(folder, 'kubeconfig');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'bed', cluster: { server: cluster.server, 'certificate-authority': cluster.admin.ca } }],
    users: [{ name: 'controller', user: { token } }],
    contexts: [{ name: 'bed', context: { cluster: 'bed', user: 'controller' } }],
    'current-context': 'bed',
  };
  await writeFile(file, JSON.stringify(config));
  return file;
}

async function startAgent(cluster: Cluster, node: ClusterNode, ca: string): Promise<Agent> {
  const source = { serviceAccountToken: { audience: 'impound-controller', expirationSeconds: 3600, path: 'token' } };
  const pod = await cluster.pod(`agent-${node.name}`, 'exec sleep 1000000', {
    ...{ node: node.name, namespace: NAMESPACE, serviceAccountName: 'impound-agent' },
    container: { volumeMounts: [{ name: 'identity', mountPath: '/identity' }] },
    spec: { volumes: [{ name: 'identity', projected: { sources: [source] } }] },
  });
  const token = join(pod.projected('identity'), 'token');
  await waitForFile(cluster, node.name, token);
  const program = await cluster.start(node.name, 'agent', [
    ...[process.execPath, join(PROGRAMS, `agent/main.${ENDING}`), '--controller', `https://${SERVICE}:${PORT}`],
    ...['--ca', ca, '--token', token, '--containerd', node.containerd, '--log-level', 'debug'],
  ]);
  return { pod, program, token };
}

async function waitForFile(cluster: Cluster, node: string, path: string): Promise<void> {
  await cluster.run(node, ['sh', '-c', `until [ -s '${path}' ]; do sleep 0.05; done`]);
}

/** What a daemon printed, for a failing test's message. */
export function logOf({ log }: Daemon): Promise<string> {
  return readFile(log, 'utf8');
}
