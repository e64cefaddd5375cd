// The chain of a pod's owners, up to what a person made: each once, however many pods it has.
import { gap } from '../../../capture/index.ts';
import type { Answers, Asking } from './ask.ts';
import { type OwnerName, ownersOf } from './survey.ts';

/** Those of Kubernetes' own; rights for others would be rights to everything. */
const KINDS: Readonly<Record<string, string>> = {
  'apps/v1 ReplicaSet': 'replicasets',
  'apps/v1 Deployment': 'deployments',
  'apps/v1 DaemonSet': 'daemonsets',
  'apps/v1 StatefulSet': 'statefulsets',
  'batch/v1 Job': 'jobs',
  'batch/v1 CronJob': 'cronjobs',
};
const MAX_OWNERS = 5000;
const AT_ONCE = 8;

export async function* ownerRows(
  { object }: Answers,
  asking: Asking,
  first: Iterable<OwnerName>,
): AsyncGenerator<object> {
  const seen = new Set<string>();
  const waiting = [...first];
  while (waiting.length > 0) {
    const next = waiting.splice(0, AT_ONCE).filter(({ uid }) => !seen.has(uid) && seen.add(uid));
    if (seen.size > MAX_OWNERS) {
      asking.gap(gap('truncated', 'get owners of pods', `more than ${MAX_OWNERS} owners`));
      return;
    }
    const found = await Promise.all(
      next.map(async (owner) => {
        const { apiVersion, kind, namespace, name } = owner;
        // a mirror pod's owner is the node itself
        if (kind === 'Node') return undefined;
        const resource = KINDS[`${apiVersion} ${kind}`];
        if (resource === undefined) {
          const detail = 'its kind is not one of apps/v1 or batch/v1, which the controller may read';
          asking.gap(gap('unsupported', `get ${kind} ${namespace}/${name}`, detail));
          return undefined;
        }
        const path = `/apis/${apiVersion}/namespaces/${segment(namespace)}/${resource}/${segment(name)}`;
        const row = await object({ what: `${resource} ${namespace}/${name}`, path });
        if (row !== undefined && row.metadata.uid !== owner.uid) {
          const detail = `an owner of the same name is there, made anew: it is kept beside the uid that the pod names`;
          asking.gap(gap('vanished', `get ${resource} ${namespace}/${name}`, detail));
        }
        return row;
      }),
    );
    for (const row of found) {
      if (row === undefined) continue;
      yield row;
      waiting.push(...ownersOf(row));
    }
  }
}

export function segment(name: string): string {
  return encodeURIComponent(name);
}
