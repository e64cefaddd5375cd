// What the cluster knows of Impound itself: why an agent is not on a node, why the controller does not answer. Each is asked
// only where the person may look.
import { ImpoundError } from '../../evidence/index.ts';
import type { KubernetesObject } from '../../kubernetes/index.ts';
import type { Connection } from './connect.ts';

const LEASE = 'impound-controller';
const AGENT = 'impound-agent';
const CONTROLLER = 'impound-controller';
/** Leaders renew every few seconds. */
const LEASE_SECONDS = 30;

export interface Verdict {
  /** `unknown`: one may not look. */
  readonly kind: 'well' | 'troubled' | 'unknown';
  /** For people: a clause without a full stop. */
  readonly text: string;
}

interface ContainerState {
  readonly name: string;
  readonly ready?: boolean;
  readonly restartCount?: number;
  readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } };
  readonly lastState?: { readonly terminated?: { readonly reason?: string; readonly exitCode?: number } };
}

/** https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
export interface PodObject extends KubernetesObject {
  readonly spec: { readonly nodeName?: string; readonly serviceAccountName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
    readonly containerStatuses?: readonly ContainerState[];
  };
}

interface Lease extends KubernetesObject {
  readonly spec?: { readonly holderIdentity?: string | null; readonly renewTime?: string | null };
}

interface DaemonSet extends KubernetesObject {
  readonly status?: { readonly desiredNumberScheduled?: number; readonly numberReady?: number };
}

export async function agentVerdict(connection: Connection, node: string): Promise<Verdict> {
  const { kubernetes, namespace } = connection;
  const pods = await allowed(podsOf(connection, { fieldSelector: `spec.nodeName=${node}` }));
  if (pods === undefined) return notAllowed('agent', `list pods in namespace ${namespace}`);
  const [pod] = pods.filter(({ spec }) => spec.serviceAccountName === AGENT);
  const look = `kubectl -n ${namespace} describe`;
  if (pod !== undefined) {
    const trouble = troubleOf(pod);
    if (trouble === undefined) return { kind: 'well', text: `agent ${pod.metadata.name} is ready` };
    return { kind: 'troubled', text: `agent ${pod.metadata.name} ${trouble}: ${look} pod ${pod.metadata.name}` };
  }
  const path = `/apis/apps/v1/namespaces/${namespace}/daemonsets/${AGENT}`;
  const set = await orMissing(kubernetes.get<DaemonSet>(path));
  if (set === undefined) return { kind: 'troubled', text: `no agent's pod is on node ${node}` };
  if (set === 'missing')
    return { kind: 'troubled', text: `there is no DaemonSet ${AGENT} in namespace ${namespace}: is Impound there?` };
  const { desiredNumberScheduled = 0, numberReady = 0 } = set.status ?? {};
  const text = `no agent's pod is on node ${node} (ready on ${numberReady} of ${desiredNumberScheduled} nodes): its DaemonSet does not place one there: ${look} daemonset ${AGENT}`;
  return { kind: 'troubled', text };
}

export async function controllerVerdict(connection: Connection, now = Date.now()): Promise<Verdict> {
  const { kubernetes, namespace } = connection;
  const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${LEASE}`;
  const lease = await orMissing(kubernetes.get<Lease>(path));
  if (lease === undefined) return notAllowed('controller', `get leases in namespace ${namespace}`);
  const { holderIdentity, renewTime } = (lease === 'missing' ? undefined : lease.spec) ?? {};
  const seconds = Math.round((now - Date.parse(renewTime ?? '')) / 1000);
  if (holderIdentity && seconds < LEASE_SECONDS) return { kind: 'well', text: `controller ${holderIdentity} leads` };
  const last = holderIdentity ? `; ${holderIdentity} was the last, heard ${seconds} s ago` : '';
  const pods = (await allowed(controllerPods(connection))) ?? [];
  const states = pods.map((pod) => `${pod.metadata.name} ${troubleOf(pod) ?? 'is ready'}`);
  const there = states.length === 0 ? '' : ` (${states.join('; ')})`;
  const text = `no controller leads${last}${there}: kubectl -n ${namespace} get pods,lease; kubectl -n ${namespace} logs deployment/${CONTROLLER}`;
  return { kind: 'troubled', text };
}

/** Throws `api-denied`. */
export async function controllerPods(connection: Connection): Promise<readonly PodObject[]> {
  const pods = await podsOf(connection, {});
  return pods.filter(({ spec }) => spec.serviceAccountName === CONTROLLER);
}

export function isReady({ status, metadata }: PodObject): boolean {
  const ready = status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True');
  return ready === true && metadata.deletionTimestamp === undefined;
}

function troubleOf(pod: PodObject): string | undefined {
  const { status } = pod;
  if (pod.metadata.deletionTimestamp !== undefined) return 'is being deleted';
  if (isReady(pod)) return undefined;
  for (const { state, lastState, restartCount = 0 } of status?.containerStatuses ?? []) {
    const { reason, message = '' } = state?.waiting ?? {};
    if (reason === undefined) continue;
    const ended = lastState?.terminated;
    const last = ended === undefined ? '' : `, last ended with ${ended.reason ?? ''} (exit status ${ended.exitCode})`;
    const restarts = restartCount > 0 ? `, started again ${restartCount} times${last}` : '';
    return `does not run: ${reason}${restarts}${message === '' || restarts !== '' ? '' : ` (${message.slice(0, 200)})`}`;
  }
  const unscheduled = status?.conditions?.find(({ type, status: is }) => type === 'PodScheduled' && is === 'False');
  if (unscheduled !== undefined) return `has no node: ${unscheduled.message ?? 'no reason'}`;
  return status?.phase === 'Running' ? 'runs and is not ready' : `is ${status?.phase ?? 'not begun'}`;
}

async function podsOf({ kubernetes, namespace }: Connection, query: Record<string, string>) {
  return (await kubernetes.list<PodObject>(`/api/v1/namespaces/${namespace}/pods`, { query })).items;
}

function notAllowed(what: string, right: string): Verdict {
  return { kind: 'unknown', text: `how the ${what} is you may not see (no right to ${right})` };
}

/** Undefined where one may not. */
export async function allowed<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ImpoundError && error.code === 'api-denied') return undefined;
    throw error;
  }
}

function orMissing<T>(asked: Promise<T>): Promise<T | 'missing' | undefined> {
  return allowed<T | 'missing'>(
    asked.catch((error: unknown) => {
      if (error instanceof ImpoundError && error.code === 'api-missing') return 'missing';
      throw error;
    }),
  );
}
