// What a cordon must not do: leave the cluster without a node that takes pods, or take a control plane's node.
import { TAINT } from './marks.ts';
import type { NodeObject } from './node.ts';

/** kubeadm's labels, the second one until Kubernetes 1.24. */
const CONTROL_PLANE = ['node-role.kubernetes.io/control-plane', 'node-role.kubernetes.io/master'];

/**
 * Taints of nodes that take no common pods, or are about to go. Others are pools of their own: what runs in such a
 * cluster tolerates them.
 */
const CLOSED = [
  ...CONTROL_PLANE,
  TAINT,
  'ToBeDeletedByClusterAutoscaler',
  'karpenter.sh/disrupted',
  'karpenter.sh/disruption',
];
/** What the node lifecycle controller adds where a node is not ready, not reachable, short of something. */
const CONDITIONS = /^node\.(kubernetes|cloudprovider\.kubernetes)\.io\//;

export function isControlPlane({ metadata: { labels = {} } }: NodeObject): boolean {
  return CONTROL_PLANE.some((label) => Object.hasOwn(labels, label));
}

export function takesPods({ metadata, spec, status }: NodeObject): boolean {
  const ready = status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True');
  const closed = (spec.taints ?? []).some(
    ({ key, effect }) => effect !== 'PreferNoSchedule' && (CLOSED.includes(key) || CONDITIONS.test(key)),
  );
  return ready === true && !closed && spec.unschedulable !== true && metadata.deletionTimestamp === undefined;
}

export function anotherTakesPods(name: string, nodes: readonly NodeObject[]): boolean {
  return nodes.some((node) => node.metadata.name !== name && takesPods(node));
}
