// The pod of a container or sandbox in ECS' terms, from the CRI's metadata or the labels a kubelet sets.

export interface PodName {
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
  readonly uid?: string | undefined;
}

export function podOfLabels(labels: Readonly<Record<string, string>>): PodName {
  return {
    name: labels['io.kubernetes.pod.name'],
    namespace: labels['io.kubernetes.pod.namespace'],
    uid: labels['io.kubernetes.pod.uid'],
  };
}

/** ECS' `orchestrator`; nothing where there is no pod. */
export function orchestrator({ name, namespace, uid }: PodName): Record<string, unknown> {
  if (name === undefined || name === '') return {};
  return { orchestrator: { type: 'kubernetes', namespace, resource: { type: 'pod', name, id: uid } } };
}
