// A real Kubernetes cluster of the tests' own: control plane and node as processes in namespaces of their own.
import { join } from 'node:path';
import { type Bed, makeBed } from './cluster/bed.ts';
import { API_SERVER, startControlPlane } from './cluster/control-plane.ts';
import { startNode } from './cluster/node.ts';
import { makePki } from './cluster/pki.ts';
import { cacheDirectory, kubernetesPrograms } from './components.ts';
import { BUSYBOX_IMAGE } from './containerd-config.ts';

/** What `needs` is told for a test that starts a cluster. */
export const CLUSTER_COMPONENTS = [
  'kubernetes',
  'etcd',
  'containerd',
  'runc',
  'cni',
  'busybox',
  'openssl',
  'ip',
] as const;

const NODE = { name: 'node1', address: '10.99.0.1', pods: '10.244.0.0/24' };
const READY_SECONDS = 90;

export interface Cluster {
  readonly directory: string;
  readonly node: string;
  /** Of the node's containerd, as a path on this machine. */
  readonly containerd: string;
  readonly podLogs: string;
  kubectl(...args: readonly string[]): Promise<string>;
  /** `kubectl apply` of objects. */
  apply(...objects: readonly object[]): Promise<void>;
  /** A pod of one busybox container that runs `command` in sh; resolves when it runs. */
  pod(name: string, command: string, more?: object): Promise<void>;
  stop(): Promise<void>;
}

/** Ready in some ten seconds. */
export async function startCluster(): Promise<Cluster> {
  const programs = kubernetesPrograms(cacheDirectory());
  const bed = await makeBed();
  try {
    return await startIn(bed, programs);
  } catch (error) {
    await bed.stop();
    throw error;
  }
}

async function startIn(bed: Bed, programs: string): Promise<Cluster> {
  const ip = (...args: readonly string[]): Promise<string> => bed.run('ip', args);
  await ip('link', 'set', 'lo', 'up');
  await ip('link', 'add', 'br0', 'type', 'bridge');
  await ip('addr', 'add', `${NODE.address}/24`, 'dev', 'br0');
  await ip('link', 'set', 'br0', 'up');
  const pki = await makePki(bed.directory, API_SERVER);
  await startControlPlane(bed, pki, programs, NODE.address);
  const containerd = await startNode(bed, pki, programs, NODE);
  const config = ['--kubeconfig', join(bed.directory, 'admin.conf')];
  const kubectl = (args: readonly string[], input?: string): Promise<string> =>
    bed.run(join(programs, 'kubectl'), [...config, ...args], input === undefined ? {} : { input });
  await bed.until(`${NODE.name}-kubelet`, READY_SECONDS, () =>
    kubectl(['wait', '--for=condition=Ready', `node/${NODE.name}`, '--timeout=5s']),
  );
  await bed.until('kube-controller-manager', READY_SECONDS, () => kubectl(['get', 'serviceaccount', 'default']));
  const apply = async (...objects: readonly object[]): Promise<void> => {
    await kubectl(['apply', '-f', '-'], objects.map((object) => JSON.stringify(object)).join('\n---\n'));
  };
  return {
    directory: bed.directory,
    node: NODE.name,
    containerd,
    podLogs: join(bed.directory, NODE.name, 'pod-logs'),
    kubectl: (...args) => kubectl(args),
    apply,
    async pod(name, command, more = {}) {
      const container = { name: 'main', image: BUSYBOX_IMAGE, command: ['sh', '-c', command] };
      const spec = { containers: [{ ...container, ...more }], terminationGracePeriodSeconds: 0 };
      await apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec });
      await kubectl(['wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s']);
    },
    stop: () => bed.stop(),
  };
}
