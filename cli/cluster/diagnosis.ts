// What the cluster knows of Impound itself: why an agent is not on a node, why the controller does not answer. Each is asked
// only where the person may look.
import { type KubernetesObject, unlessMissing } from '../../kubernetes/index.ts';
import type { Connection } from './connect.ts';
import { ifMay } from './rights.ts';
import { describeRights, type Right, SEE } from './roles.ts';

const LEASE = 'impound-controller';
const AGENT = 'impound-agent';
const CONTROLLER = 'impound-controller';
/** Leaders renew every few seconds. */
export const LEASE_SECONDS = 30;

export interface Verdict {
  /** `unknown`: one may not look. */
  readonly kind: 'well' | 'troubled' | 'unknown';
  /** For people: a clause without a full stop. */
  readonly text: string;
}

export interface ContainerState {
  readonly name: string;
  readonly ready?: boolean;
  readonly restartCount?: number;
  readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } };
  readonly lastState?: { readonly terminated?: { readonly reason?: string; readonly exitCode?: number } };
}

/** https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
export interface PodObject extends KubernetesObject {
  readonly spec: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
    readonly containerStatuses?: readonly ContainerState[];
  };
}

export interface Lease extends KubernetesObject {
  readonly spec?: { readonly holderIdentity?: string | null; readonly renewTime?: string | null };
}

export interface DaemonSet extends KubernetesObject {
  readonly spec?: {
    readonly template?: {
      readonly spec?: {
        readonly nodeSelector?: Readonly<Record<string, string>>;
        readonly tolerations?: readonly {
          readonly key?: string;
          readonly operator?: string;
          readonly value?: string;
          readonly effect?: string;
        }[];
      };
    };
  };
  readonly status?: { readonly desiredNumberScheduled?: number; readonly numberReady?: number };
}

export async function agentVerdict(connection: Connection, node: string): Promise<Verdict> {
  const { namespace } = connection;
  const pods = await ifMay(connection, SEE.pods, () => podsOf(connection, AGENT, node));
  if (pods === undefined) return notAllowed('agent', SEE.pods, namespace);
  const [pod] = pods;
  const look = `kubectl -n ${namespace} describe`;
  if (pod !== undefined) {
    const trouble = troubleOf(pod);
    if (trouble === undefined) return { kind: 'well', text: `agent ${pod.metadata.name} is ready` };
    return { kind: 'troubled', text: `agent ${pod.metadata.name} ${trouble}: ${look} pod ${pod.metadata.name}` };
  }
  const set = await agentSet(connection);
  if (set === undefined) return { kind: 'troubled', text: `no agent's pod is on node ${node}` };
  if (set === 'missing')
    return { kind: 'troubled', text: `there is no DaemonSet ${AGENT} in namespace ${namespace}: is Impound there?` };
  const { desiredNumberScheduled = 0, numberReady = 0 } = set.status ?? {};
  const text = `no agent's pod is on node ${node} (ready on ${numberReady} of ${desiredNumberScheduled} nodes): its DaemonSet does not place one there: ${look} daemonset ${AGENT}`;
  return { kind: 'troubled', text };
}

export async function controllerVerdict(connection: Connection, now = Date.now()): Promise<Verdict> {
  const { namespace } = connection;
  const lease = await leaderLease(connection);
  if (lease === undefined) return notAllowed('controller', SEE.lease, namespace);
  const { holderIdentity, renewTime } = (lease === 'missing' ? undefined : lease.spec) ?? {};
  const seconds = Math.round((now - Date.parse(renewTime ?? '')) / 1000);
  if (holderIdentity && seconds < LEASE_SECONDS) return { kind: 'well', text: `controller ${holderIdentity} leads` };
  const last = holderIdentity ? `; ${holderIdentity} was the last, heard ${seconds} s ago` : '';
  const pods = (await ifMay(connection, SEE.pods, () => controllerPods(connection))) ?? [];
  const states = pods.map((pod) => `${pod.metadata.name} ${troubleOf(pod) ?? 'is ready'}`);
  const there = states.length === 0 ? '' : ` (${states.join('; ')})`;
  const text = `no controller leads${last}${there}: kubectl -n ${namespace} get pods,lease; kubectl -n ${namespace} logs deployment/${CONTROLLER}`;
  return { kind: 'troubled', text };
}

/** "missing" where there is none, undefined where one may not look. */
export function leaderLease(connection: Connection): Promise<Lease | 'missing' | undefined> {
  const { kubernetes, namespace } = connection;
  const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${LEASE}`;
  return ifMay(connection, SEE.lease, async () => (await unlessMissing(kubernetes.get<Lease>(path))) ?? 'missing');
}

/** As `leaderLease`. */
export function agentSet(connection: Connection): Promise<DaemonSet | 'missing' | undefined> {
  const { kubernetes, namespace } = connection;
  const path = `/apis/apps/v1/namespaces/${namespace}/daemonsets/${AGENT}`;
  return ifMay(connection, SEE.agents, async () => (await unlessMissing(kubernetes.get<DaemonSet>(path))) ?? 'missing');
}

/** Throws `api-denied`. */
export function controllerPods(connection: Connection): Promise<readonly PodObject[]> {
  return podsOf(connection, CONTROLLER);
}

/** Throws `api-denied`. */
export function agentPods(connection: Connection): Promise<readonly PodObject[]> {
  return podsOf(connection, AGENT);
}

export function isReady({ status, metadata }: PodObject): boolean {
  const ready = status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True');
  return ready === true && metadata.deletionTimestamp === undefined;
}

/** A verb with what follows; undefined where it is ready. */
export function troubleOf(pod: PodObject): string | undefined {
  const { status } = pod;
  if (pod.metadata.deletionTimestamp !== undefined) return 'is being deleted';
  if (isReady(pod)) return undefined;
  for (const container of status?.containerStatuses ?? []) {
    const { state, restartCount = 0 } = container;
    const { reason, message = '' } = state?.waiting ?? {};
    if (reason === undefined) continue;
    const restarts = restartCount > 0 ? `, started again ${restartCount} times${lastEnd(container)}` : '';
    return `does not run: ${reason}${restarts}${message === '' || restarts !== '' ? '' : ` (${message.slice(0, 200)})`}`;
  }
  const unscheduled = status?.conditions?.find(({ type, status: is }) => type === 'PodScheduled' && is === 'False');
  if (unscheduled !== undefined) return `has no node: ${unscheduled.message ?? 'no reason'}`;
  return status?.phase === 'Running' ? 'runs and is not ready' : `is ${status?.phase ?? 'not begun'}`;
}

/** A clause, or nothing where it has not ended yet. */
export function lastEnd({ lastState }: ContainerState): string {
  const ended = lastState?.terminated;
  return ended === undefined ? '' : `, last ended with ${ended.reason ?? ''} (exit status ${ended.exitCode})`;
}

/** Of this service account: whoever may create pods can label them as they like. */
async function podsOf({ kubernetes, namespace }: Connection, account: string, node?: string) {
  const there = node === undefined ? '' : `,spec.nodeName=${node}`;
  const query = { fieldSelector: `spec.serviceAccountName=${account}${there}` };
  return (await kubernetes.list<PodObject>(`/api/v1/namespaces/${namespace}/pods`, { query })).items;
}

function notAllowed(what: string, right: Right, namespace: string): Verdict {
  const text = `how the ${what} is you may not see (no right to ${describeRights([right], namespace)}; the roles impound-responder and impound-auditor have it)`;
  return { kind: 'unknown', text };
}
