// Which Secrets and ConfigMaps a pod refers to, and where: their names only, they are never read.
import type { Row } from './ask.ts';

export interface Reference {
  readonly namespace: string;
  readonly pod: string;
  readonly podUid: string;
  readonly kind: 'Secret' | 'ConfigMap';
  readonly name: string;
  /** The field of the pod that names it: "spec.volumes[0].projected.sources[1].configMap". */
  readonly field: string;
  /** Of what it names one, where it names one. */
  readonly key?: string;
}

/** Deeper than any field of a pod that refers to one. */
const MAX_DEPTH = 12;

/**
 * Fields that name one, by https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/; volumes of other
 * kinds (CSI, CephFS, …) have a secretRef or a nodePublishSecretRef, with a namespace in none of them.
 */
const FIELDS: Readonly<Record<string, Reference['kind']>> = {
  secret: 'Secret',
  secretRef: 'Secret',
  secretKeyRef: 'Secret',
  nodePublishSecretRef: 'Secret',
  imagePullSecrets: 'Secret',
  configMap: 'ConfigMap',
  configMapRef: 'ConfigMap',
  configMapKeyRef: 'ConfigMap',
};

export function referencesOf(pod: Row): readonly Reference[] {
  const { namespace = '', name, uid } = pod.metadata;
  return [...named(pod.spec, 'spec', undefined, 0)].map((found) => ({ namespace, pod: name, podUid: uid, ...found }));
}

type Named = Pick<Reference, 'kind' | 'name' | 'field' | 'key'>;

function* named(value: unknown, field: string, kind: Reference['kind'] | undefined, depth: number): Generator<Named> {
  if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return;
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield* named(item, `${field}[${index}]`, kind, depth + 1);
    return;
  }
  const fields = value as Readonly<Record<string, unknown>>;
  if (kind !== undefined) {
    const { name = fields.secretName, key } = fields;
    if (typeof name === 'string') yield { kind, name, field, ...(typeof key === 'string' ? { key } : {}) };
    return;
  }
  for (const [child, item] of Object.entries(fields)) {
    // azureFile names its Secret beside its share
    if (child === 'secretName' && typeof item === 'string')
      yield { kind: 'Secret', name: item, field: `${field}.${child}` };
    yield* named(item, `${field}.${child}`, Object.hasOwn(FIELDS, child) ? FIELDS[child] : undefined, depth + 1);
  }
}
