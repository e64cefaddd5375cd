// A pod with one busybox container, as tests ask for it, and what they know of it then.
import { join } from 'node:path';
import { BUSYBOX_IMAGE } from '../containerd-config.ts';

export interface PodOptions {
  /** Of which node; the scheduler chooses where absent. */
  readonly node?: string;
  /** "default" where absent. */
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly serviceAccountName?: string;
  /** Added to the container. */
  readonly container?: object;
  /** Added to the pod's spec. */
  readonly spec?: object;
}

export interface PodName {
  readonly name: string;
  /** "default" where absent. */
  readonly namespace?: string;
}

export interface Pod extends PodName {
  readonly namespace: string;
  readonly uid: string;
  readonly node: string;
  readonly address: string;
  /** Folder of its projected volume of that name, as programs on its node see it. */
  projected(volume: string): string;
}

export function podObject(name: string, command: string, options: PodOptions): object {
  const { node, namespace = 'default', labels = {}, serviceAccountName, container = {}, spec = {} } = options;
  const main = { name: 'main', image: BUSYBOX_IMAGE, command: ['sh', '-c', command], ...container };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels },
    spec: {
      containers: [main],
      terminationGracePeriodSeconds: 0,
      ...(node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': node } }),
      ...(serviceAccountName === undefined ? {} : { serviceAccountName }),
      ...spec,
    },
  };
}

/** As the API server tells of it; undefined until it is ready. `folders` are the nodes', by name. */
export function readyPod(answer: unknown, folders: ReadonlyMap<string, string>): Pod | undefined {
  const { metadata, spec, status } = answer as {
    readonly metadata: { readonly name: string; readonly namespace: string; readonly uid: string };
    readonly spec: { readonly nodeName?: string };
    readonly status: {
      readonly podIP?: string;
      readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    };
  };
  if (!status.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True'))
    return undefined;
  const { name, namespace, uid } = metadata;
  const node = spec.nodeName ?? '';
  const volumes = join(folders.get(node) ?? '', 'kubelet/pods', uid, 'volumes/kubernetes.io~projected');
  return { name, namespace, uid, node, address: status.podIP ?? '', projected: (volume) => join(volumes, volume) };
}
