// A Lease (coordination.k8s.io/v1) as an election reads and writes it; each write holds only if nobody wrote since.
import { ImpoundError } from '../evidence/index.ts';
import type { Kubernetes, KubernetesObject } from './client.ts';

/** Where the holder answers its followers' callers: "https://IP:PORT". */
export const ADDRESS_ANNOTATION = 'impound.dev/address';
/** Why the last holder gave it up deliberately; the next one takes it away. */
export const STEPPED_DOWN_ANNOTATION = 'impound.dev/stepped-down';

const MAX_NOTE = 1000;
const MAX_ADDRESS = 200;

/** https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/ */
interface Lease extends KubernetesObject {
  readonly spec?: {
    readonly holderIdentity?: string | null;
    readonly acquireTime?: string | null;
    readonly renewTime?: string | null;
    readonly leaseDurationSeconds?: number | null;
    readonly leaseTransitions?: number | null;
  };
}

export interface LeaseRecord {
  readonly resourceVersion: string;
  /** Another whenever a holder took or renewed it; the same where somebody else wrote, an annotation say. */
  readonly sign: string;
  /** Undefined where nobody holds it. */
  readonly holder: string | undefined;
  /** An https origin, or undefined: others may write annotations too. */
  readonly address: string | undefined;
  readonly steppedDown: string | undefined;
  /** As its holder wrote it. */
  readonly leaseMilliseconds: number;
  readonly transitions: number;
}

export interface LeaseOptions {
  readonly kubernetes: Pick<Kubernetes, 'get' | 'create' | 'patch'>;
  readonly namespace: string;
  readonly name: string;
  /** Unlike that of every process that may run at the same time. */
  readonly identity: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly leaseMilliseconds: number;
  /** Wall clock, for people who read the record: nothing is judged by it. */
  now(): Date;
}

export interface RequestLimit {
  readonly milliseconds: number;
  readonly signal?: AbortSignal;
}

/** All throw the client's errors; each write `api-conflict` where the record is not the one given any more. */
export interface LeaseWriter {
  /** Undefined where there is none. */
  read(limit: RequestLimit): Promise<LeaseRecord | undefined>;
  /** `before` undefined: there was none. */
  take(before: LeaseRecord | undefined, limit: RequestLimit): Promise<LeaseRecord>;
  renew(before: LeaseRecord, limit: RequestLimit): Promise<LeaseRecord>;
  release(before: LeaseRecord, note: string | undefined, limit: RequestLimit): Promise<LeaseRecord>;
}

export function leaseWriter(options: LeaseOptions): LeaseWriter {
  const { kubernetes, namespace, name, identity, annotations } = options;
  const all = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`;
  const path = `${all}/${encodeURIComponent(name)}`;
  const leaseDurationSeconds = Math.ceil(options.leaseMilliseconds / 1000);
  /** MicroTime has six digits. */
  const now = (): string => options.now().toISOString().replace('Z', '000Z');
  const patch = async (
    { resourceVersion }: LeaseRecord,
    spec: object,
    marks: object,
    limit: RequestLimit,
  ): Promise<LeaseRecord> => {
    const metadata = { resourceVersion, annotations: marks };
    return recordOf(await kubernetes.patch<Lease>(path, 'merge', { metadata, spec }, limit));
  };
  return {
    async read(limit) {
      try {
        return recordOf(await kubernetes.get<Lease>(path, limit));
      } catch (error) {
        if (error instanceof ImpoundError && error.code === 'api-missing') return undefined;
        throw error;
      }
    },
    async take(before, limit) {
      const time = now();
      const transitions = before === undefined ? 0 : before.transitions + (before.holder === identity ? 0 : 1);
      const spec = {
        ...{ holderIdentity: identity, leaseDurationSeconds },
        ...{ acquireTime: time, renewTime: time, leaseTransitions: transitions },
      };
      const marks = { [ADDRESS_ANNOTATION]: null, [STEPPED_DOWN_ANNOTATION]: null, ...annotations };
      if (before !== undefined) return patch(before, spec, marks, limit);
      const object = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name, annotations }, spec };
      return recordOf(await kubernetes.create<Lease>(all, object, limit));
    },
    renew: (before, limit) =>
      patch(before, { holderIdentity: identity, leaseDurationSeconds, renewTime: now() }, annotations, limit),
    release(before, note, limit) {
      const marks = { [ADDRESS_ANNOTATION]: null, [STEPPED_DOWN_ANNOTATION]: note?.slice(0, MAX_NOTE) ?? null };
      return patch(before, { holderIdentity: '', leaseDurationSeconds: 1, renewTime: now() }, marks, limit);
    },
  };
}

function recordOf({ metadata, spec = {} }: Lease): LeaseRecord {
  const { annotations = {}, resourceVersion } = metadata;
  return {
    resourceVersion,
    sign: JSON.stringify([spec.holderIdentity, spec.acquireTime, spec.renewTime, spec.leaseTransitions]),
    holder: spec.holderIdentity || undefined,
    address: originOf(annotations[ADDRESS_ANNOTATION] ?? ''),
    steppedDown: annotations[STEPPED_DOWN_ANNOTATION]?.slice(0, MAX_NOTE),
    leaseMilliseconds: (spec.leaseDurationSeconds ?? 0) * 1000,
    transitions: spec.leaseTransitions ?? 0,
  };
}

function originOf(text: string): string | undefined {
  if (text.length > MAX_ADDRESS || !URL.canParse(text)) return undefined;
  const { protocol, origin } = new URL(text);
  return protocol === 'https:' && origin === text ? origin : undefined;
}
