// Why a node has no agent's pod, as far as node and DaemonSet tell.
import type { DaemonSet } from '../diagnosis.ts';
import type { NodeObject } from '../node.ts';

/** What is a node by name only, and runs no DaemonSet's pods: undefined where it is one. */
export function virtualKind({ metadata }: NodeObject): string | undefined {
  const { labels = {}, name } = metadata;
  if (labels['eks.amazonaws.com/compute-type'] === 'fargate' || name.startsWith('fargate-')) return 'Fargate';
  if (labels.type === 'virtual-kubelet' || 'virtual-kubelet.io/provider' in labels) return 'a virtual kubelet';
  return undefined;
}

/** A clause, after "no agent's pod: ". */
export function whyUnplaced({ metadata, spec }: NodeObject, set: DaemonSet | 'missing' | undefined): string {
  if (set === 'missing') return 'there is no DaemonSet impound-agent';
  const { nodeSelector = {}, tolerations = [] } = set?.spec?.template?.spec ?? {};
  const { labels = {} } = metadata;
  const unlike = Object.entries(nodeSelector).filter(([key, value]) => labels[key] !== value);
  if (unlike.length > 0) {
    const wanted = unlike.map(([key, value]) => `${key}=${value}`).join(', ');
    return `the DaemonSet's nodeSelector wants ${wanted}, which the node has not`;
  }
  const repelled = (spec?.taints ?? []).find(
    ({ key, value = '', effect }) =>
      effect !== 'PreferNoSchedule' &&
      !tolerations.some(
        (one) =>
          (one.effect === undefined || one.effect === '' || one.effect === effect) &&
          (one.operator === 'Exists'
            ? one.key === undefined || one.key === '' || one.key === key
            : one.key === key && (one.value ?? '') === value),
      ),
  );
  if (set !== undefined && repelled !== undefined)
    return `the DaemonSet does not tolerate its taint ${repelled.key}:${repelled.effect}`;
  return 'the DaemonSet has placed none there';
}
