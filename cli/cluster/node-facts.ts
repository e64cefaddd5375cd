// What the cluster says of the node that is to be captured, as far as the person may look.
import { ImpoundError } from '../../evidence/index.ts';
import type { KubernetesObject } from '../../kubernetes/index.ts';
import { bearer } from './capture-bundle.ts';
import { isEnded, listCaptures } from './captures.ts';
import type { Connection } from './connect.ts';
import { agentVerdict, controllerVerdict, type Verdict } from './diagnosis.ts';
import { isNodeReady, type NodeObject } from './node.ts';
import { ifMay } from './rights.ts';
import { type Right, SEE } from './roles.ts';
import { similarTo } from './similar.ts';

/** No role of ours: it shows how many pods the node runs. */
const EVERY_POD: Right = { verb: 'list', group: '', resource: 'pods' };
const CONTROL_PLANE = 'node-role.kubernetes.io/control-plane';

/** It is created by the API server's word alone. */
const UNKNOWN =
  'this context logs in by a client certificate: that is enough to capture, but to read evidence (what stands out, pull, verify NAME) takes one whose user has a token';

export interface NodeFacts {
  /** Undefined where one may not look. */
  readonly node: { readonly ready: boolean; readonly created: string; readonly unschedulable: boolean } | undefined;
  readonly pods: number | undefined;
  readonly agent: Verdict;
  readonly controller: Verdict;
  /** What a person should know before they go on. */
  readonly warnings: readonly string[];
}

/** Throws `api-missing` where there is no such node, with names like it. */
export async function nodeFacts(connection: Connection, name: string, cordon: boolean): Promise<NodeFacts> {
  const { kubernetes } = connection;
  const node = await nodeOf(connection, name);
  const [captures, pods, others, agent, controller, isKnown] = await Promise.all([
    listCaptures(connection, name),
    ifMay(connection, EVERY_POD, () => kubernetes.list<KubernetesObject>('/api/v1/pods', { query: onNode(name) })),
    ifMay(connection, SEE.nodes, () => kubernetes.list<NodeObject>('/api/v1/nodes')),
    agentVerdict(connection, name),
    controllerVerdict(connection),
    bearer(connection).then(
      () => true,
      () => false,
    ),
  ]);
  const warnings: string[] = [];
  for (const capture of captures.filter((one) => !isEnded(one)))
    warnings.push(`capture ${capture.metadata.name} of this node goes on: the agent takes one after the other`);
  for (const { kind, text } of [agent, controller]) if (kind === 'troubled') warnings.push(text);
  if (!isKnown) warnings.push(UNKNOWN);
  if (node !== undefined && !isNodeReady(node))
    warnings.push(`node ${name} is not ready: its agent may not answer, and what exists then is sealed`);
  if (cordon && node !== undefined && CONTROL_PLANE in (node.metadata.labels ?? {}))
    warnings.push(`node ${name} is of the control plane: the controller does not cordon it`);
  else if (cordon && others !== undefined && !others.items.some((one) => one.metadata.name !== name && takesPods(one)))
    warnings.push(`no other node takes pods: the controller does not cordon the last one`);
  return {
    node: node && {
      ready: isNodeReady(node),
      created: node.metadata.creationTimestamp ?? '',
      unschedulable: node.spec?.unschedulable === true,
    },
    pods: pods?.items.length,
    ...{ agent, controller, warnings },
  };
}

async function nodeOf(connection: Connection, name: string): Promise<NodeObject | undefined> {
  const { kubernetes } = connection;
  const path = `/api/v1/nodes/${encodeURIComponent(name)}`;
  try {
    return await ifMay(connection, SEE.node, () => kubernetes.get<NodeObject>(path));
  } catch (error) {
    if (!(error instanceof ImpoundError && error.code === 'api-missing')) throw error;
    const all = await ifMay(connection, SEE.nodes, () => kubernetes.list<KubernetesObject>('/api/v1/nodes'));
    const names = (all?.items ?? []).map(({ metadata }) => metadata.name);
    const message = `there is no node ${name}${similarTo(name, names, '; "kubectl get nodes" lists them')}`;
    throw new ImpoundError('api-missing', message, { operation: 'find node', thing: name, cause: error });
  }
}

function onNode(name: string): Readonly<Record<string, string>> {
  return { fieldSelector: `spec.nodeName=${name},status.phase!=Succeeded,status.phase!=Failed` };
}

/** As far as it matters for a warning; the controller looks closer. */
function takesPods(node: NodeObject): boolean {
  const { unschedulable, taints = [] } = node.spec ?? {};
  const closed = taints.some(({ key, effect }) => effect !== 'PreferNoSchedule' && /^(node|impound)[.-]/.test(key));
  return isNodeReady(node) && unschedulable !== true && !closed;
}
