// The writing half of the CRI, for tests only: makes and removes pods on a real containerd as a kubelet does.
import { readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Grpc, openGrpc } from '../../agent/runtime/grpc.ts';
import { BUSYBOX_IMAGE } from './containerd-config.ts';

/** The cgroup a kubelet puts pods into. */
export const PODS = 'kubepods';

export interface PodOptions {
  /** "default" where absent. */
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly mounts?: readonly { readonly host_path: string; readonly container_path: string }[];
}

export interface Pod {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly sandboxId: string;
  readonly containerId: string;
}

/** The calls that change something: no program of ours has them. */
const WRITING = {
  enums: { NamespaceMode: { POD: 0, CONTAINER: 1, NODE: 2, TARGET: 3 } },
  messages: {
    Metadata: { name: 'string 1', uid: 'string 2', namespace: 'string 3', attempt: 'uint32 4' },
    PodConfig: {
      metadata: 'Metadata 1',

      log_directory: 'string 3',
      labels: 'map<string, string> 6',
      annotations: 'map<string, string> 7',
      linux: 'LinuxPod 8',
    },
    LinuxPod: { cgroup_parent: 'string 1', security_context: 'PodSecurity 2' },
    PodSecurity: { namespace_options: 'NamespaceOption 1' },
    NamespaceOption: { network: 'NamespaceMode 1', pid: 'NamespaceMode 2', ipc: 'NamespaceMode 3' },
    RunPodRequest: { config: 'PodConfig 1' },
    PodId: { pod_sandbox_id: 'string 1' },
    ContainerMetadata: { name: 'string 1', attempt: 'uint32 2' },
    Image: { image: 'string 1' },
    KeyValue: { key: 'string 1', value: 'string 2' },
    Mount: { container_path: 'string 1', host_path: 'string 2' },
    ContainerConfig: {
      metadata: 'ContainerMetadata 1',
      image: 'Image 2',
      command: 'repeated string 3',
      envs: 'repeated KeyValue 6',
      mounts: 'repeated Mount 7',
      labels: 'map<string, string> 9',
      annotations: 'map<string, string> 10',
      log_path: 'string 11',
      linux: 'LinuxContainer 15',
    },
    LinuxContainer: { security_context: 'ContainerSecurity 2' },
    ContainerSecurity: { namespace_options: 'NamespaceOption 3' },
    CreateRequest: { pod_sandbox_id: 'string 1', config: 'ContainerConfig 2', sandbox_config: 'PodConfig 3' },
    ContainerId: { container_id: 'string 1' },
    Pods: { items: 'repeated PodItem 1' },
    PodItem: { id: 'string 1', metadata: 'Metadata 2' },
    Empty: {},
  },
  services: {
    'runtime.v1.RuntimeService': {
      RunPodSandbox: 'RunPodRequest PodId',
      CreateContainer: 'CreateRequest ContainerId',
      StartContainer: 'ContainerId Empty',
      ListPodSandbox: 'Empty Pods',
      StopPodSandbox: 'PodId Empty',
      RemovePodSandbox: 'PodId Empty',
    },
  },
} as const;
const SERVICE = 'runtime.v1.RuntimeService';

export type Cri = Grpc<typeof WRITING>;
/** Starting a container takes a second or more where the machine is busy. */
const asking = () => ({ signal: new AbortController().signal, seconds: 60 });

export function openCri(socket: string): Promise<Cri> {
  return openGrpc(socket, WRITING);
}

export async function runPod(cri: Cri, name: string, command: readonly string[], options: PodOptions): Promise<Pod> {
  const { namespace = 'default', labels = {}, annotations = {}, env = {}, mounts = [] } = options;
  const uid = crypto.randomUUID();
  const pod = {
    'io.kubernetes.pod.name': name,
    'io.kubernetes.pod.namespace': namespace,
    'io.kubernetes.pod.uid': uid,
  };
  const network = { network: 'NODE' };
  const config = {
    metadata: { name, uid, namespace },
    log_directory: join(cri.socket, '..', 'pod-logs', `${namespace}_${name}_${uid}`),
    labels: { ...labels, ...pod },
    annotations,
    linux: { cgroup_parent: `/${PODS}/pod${uid}`, security_context: { namespace_options: network } },
  };
  const sandbox = await cri.ask(SERVICE, 'RunPodSandbox', { config }, asking());
  const sandboxId = sandbox.decode().pod_sandbox_id;
  const container = {
    metadata: { name: 'main' },
    image: { image: BUSYBOX_IMAGE },
    command,
    envs: Object.entries(env).map(([key, value]) => ({ key, value })),
    mounts,
    labels: { 'io.kubernetes.container.name': 'main', ...pod },
    annotations: { 'io.kubernetes.container.restartCount': '0' },
    log_path: 'main/0.log',
    linux: { security_context: { namespace_options: network } },
  };
  const request = { pod_sandbox_id: sandboxId, config: container, sandbox_config: config };
  const created = await cri.ask(SERVICE, 'CreateContainer', request, asking());
  const containerId = created.decode().container_id;
  await cri.ask(SERVICE, 'StartContainer', { container_id: containerId }, asking());
  return { name, namespace, uid, sandboxId, containerId };
}

export async function removePods(cri: Cri): Promise<void> {
  const answer = await cri.ask(SERVICE, 'ListPodSandbox', {}, asking());
  for (const { id, metadata } of answer.decode().items) {
    await cri.ask(SERVICE, 'StopPodSandbox', { pod_sandbox_id: id }, asking());
    await cri.ask(SERVICE, 'RemovePodSandbox', { pod_sandbox_id: id }, asking());
    if (metadata !== null) await removeCgroups(join(PODS, `pod${metadata.uid}`));
  }
}

/** runc leaves the folders around its containers' cgroups; they go where nobody else's container is in them. */
export async function removeCgroups(path: string): Promise<void> {
  for (const hierarchy of ['.', ...(await readdir('/sys/fs/cgroup').catch(() => []))]) {
    await rmdir(join('/sys/fs/cgroup', hierarchy, path)).catch(() => undefined);
  }
}
