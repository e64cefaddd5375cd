// Holds a node against autoscalers and cordons it: what would change, the change, and whether it still stands.
import { ImpoundError } from '../../evidence/index.ts';
import type { Kubernetes, List } from '../../kubernetes/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import { isHolding } from './holders.ts';
import {
  ANNOTATIONS,
  CORDONED,
  type Difference,
  differences,
  HOLDS,
  type NodeState,
  patchTo,
  SET,
  shownState,
  stateOf,
} from './marks.ts';
import { changeNode, findNode, NODES, type NodeObject, type NodePatch } from './node.ts';
import { type Prior, stateBefore } from './prior.ts';
import { anotherTakesPods, isControlPlane } from './schedulable.ts';

/** Nodes asked for at once: an open one is mostly among the first. */
const PAGE = 5;

export interface HoldRequest {
  /** Its `spec.cordon` says whether the node is cordoned too. */
  readonly capture: NodeCapture;
  /** As it stands in the capture's status by now: nothing is changed that could not be put back. */
  readonly prior: Prior;
  /** All of that node, as they are now; the capture itself may be among them. */
  readonly captures: readonly NodeCapture[];
  readonly signal?: AbortSignal;
}

export interface Refusal {
  readonly what: 'hold' | 'cordon';
  /** annotation-unrecordable: what stands there is nothing a status takes, so it could not be put back. */
  readonly reason:
    | 'node-gone'
    | 'another-node'
    | 'control-plane-node'
    | 'last-schedulable-node'
    | 'annotation-unrecordable';
  /** For people: what was found, and what follows. */
  readonly detail: string;
}

/** Details of a custody entry. */
export interface HoldOutcome {
  readonly node: string;
  readonly nodeUid: string;
  readonly changed: boolean;
  /** Absent where there is no such node. `before` of a second call is what the first one left. */
  readonly before?: NodeState;
  readonly after?: NodeState;
  readonly refused: readonly Refusal[];
}

export interface HoldPlan {
  readonly patch: NodePatch | undefined;
  readonly refused: readonly Refusal[];
  /** Whether this closes a node that takes pods. */
  readonly closes: boolean;
}

export interface HoldCheck {
  readonly node: string;
  readonly nodeUid: string;
  readonly stands: boolean;
  readonly found?: NodeState;
  readonly wrong: readonly Difference[];
  readonly refused: readonly Refusal[];
}

/** What would change about the node as it is. `nodes` are all of the cluster, or one that takes pods is among them. No I/O. */
export function planHold(node: NodeObject, nodes: readonly NodeObject[], request: HoldRequest): HoldPlan {
  const refused = [...unheld(request), ...uncordoned(node, nodes, request)];
  const cordon = request.capture.spec.cordon && !refused.some(({ what }) => what === 'cordon');
  const expected = wanted(stateOf(node), request, cordon);
  const closes = cordon && expected.unschedulable && !isClosed(node);
  return { patch: patchTo(node, expected), refused, closes };
}

/**
 * One conditional patch; a second call changes nothing. What somebody changed since the first is set again: call `verify`
 * where that is to be left to them. Throws as Kubernetes does.
 */
export async function applyHold(kubernetes: Kubernetes, request: HoldRequest): Promise<HoldOutcome> {
  const { node: name } = request.capture.spec;
  const { prior, signal } = request;
  const decide = async (node: NodeObject | undefined): Promise<HoldPlan> => {
    const lost = notTheNode(node, request);
    if (node === undefined || lost.length > 0) return { patch: undefined, refused: lost, closes: false };
    const needed = request.capture.spec.cordon && !isClosed(node);
    return planHold(node, needed ? await nodesUntilOpen(kubernetes, name, signal) : [], request);
  };
  const change = await changeNode(kubernetes, name, decide, signal);
  const { before, after, decision } = change;
  const told = (now: NodeObject | undefined, refused: readonly Refusal[]): HoldOutcome => ({
    node: name,
    nodeUid: prior.nodeUid,
    changed: before !== now,
    ...(before === undefined ? {} : { before: shownState(stateOf(before)) }),
    ...(now === undefined ? {} : { after: shownState(stateOf(now)) }),
    refused,
  });
  if (before === undefined || !decision.closes) return told(after, decision.refused);
  // another may have been cordoned at the same time, each while the other was still open
  if (anotherTakesPods(name, await nodesUntilOpen(kubernetes, name, signal))) return told(after, decision.refused);
  const reopened = await reopen(kubernetes, request, stateOf(before));
  return told(reopened, [...decision.refused, lastSchedulable(name)]);
}

/** Reads back what stands there. A cordon that was refused is not missed. Throws as Kubernetes does. */
export async function verifyHold(
  kubernetes: Kubernetes,
  request: HoldRequest,
  { refused = [] }: Partial<Pick<HoldOutcome, 'refused'>> = {},
): Promise<HoldCheck> {
  const { capture, prior, signal } = request;
  const node = await findNode(kubernetes, capture.spec.node, signal);
  const lost = notTheNode(node, request);
  const base = { node: capture.spec.node, nodeUid: prior.nodeUid };
  if (node === undefined || lost.length > 0) return { ...base, stands: false, wrong: [], refused: lost };
  const found = stateOf(node);
  const cordon = capture.spec.cordon && !refused.some(({ what }) => what === 'cordon');
  const wrong = differences(wanted(found, request, cordon), found);
  return { ...base, stands: wrong.length === 0, found: shownState(found), wrong, refused: [] };
}

/** Only what could be recorded is set; what is not asked for stays as it is found. */
function wanted(found: NodeState, { capture, prior, captures }: HoldRequest, cordon: boolean): NodeState {
  const names: readonly string[] = cordon ? ANNOTATIONS : HOLDS;
  const recorded = Object.keys(stateBefore(prior).annotations).filter((name) => names.includes(name));
  const annotations = Object.fromEntries(recorded.map((name) => [name, SET]));
  if (!cordon) return { unschedulable: found.unschedulable, taint: found.taint, annotations };
  // another's name stays while it holds: two would otherwise take turns
  const holders = captures.filter((other) => isHolding(other, prior.nodeUid)).map(({ metadata }) => metadata.name);
  const taint = found.taint !== null && holders.includes(found.taint) ? found.taint : capture.metadata.name;
  return { unschedulable: true, taint, annotations };
}

function unheld({ capture, prior }: HoldRequest): readonly Refusal[] {
  const names: readonly string[] = capture.spec.cordon ? ANNOTATIONS : HOLDS;
  const recorded = Object.keys(stateBefore(prior).annotations);
  return names
    .filter((name) => !recorded.includes(name))
    .map((name) => ({
      what: 'hold',
      reason: 'annotation-unrecordable',
      detail: `annotation ${name} could not be recorded, and was left as it is`,
    }));
}

function uncordoned(node: NodeObject, nodes: readonly NodeObject[], { capture }: HoldRequest): readonly Refusal[] {
  if (!capture.spec.cordon) return [];
  if (isControlPlane(node)) {
    const detail = 'it is a node of the control plane: it is held, and takes pods as before';
    return [{ what: 'cordon', reason: 'control-plane-node', detail }];
  }
  const { name } = node.metadata;
  return isClosed(node) || anotherTakesPods(name, nodes) ? [] : [lastSchedulable(name)];
}

function lastSchedulable(name: string): Refusal {
  const detail = `no other node of the cluster is ready and takes pods: ${name} is held, and takes pods as before`;
  return { what: 'cordon', reason: 'last-schedulable-node', detail };
}

function notTheNode(node: NodeObject | undefined, { capture, prior }: HoldRequest): readonly Refusal[] {
  const { node: name } = capture.spec;
  if (node !== undefined && node.metadata.uid === prior.nodeUid) return [];
  const refusal =
    node === undefined
      ? ({ reason: 'node-gone', detail: `there is no node ${name} any more` } as const)
      : ({
          reason: 'another-node',
          detail: `node ${name} has the uid ${node.metadata.uid} and not ${prior.nodeUid}: it was made anew, and is left alone`,
        } as const);
  return [{ what: 'hold', ...refusal }, ...(capture.spec.cordon ? [{ what: 'cordon', ...refusal } as const] : [])];
}

/** Cordoned already, by whomever: to cordon it takes nothing from the cluster. */
function isClosed(node: NodeObject): boolean {
  return node.spec.unschedulable === true;
}

async function reopen(
  kubernetes: Kubernetes,
  { capture, prior, signal }: HoldRequest,
  before: NodeState,
): Promise<NodeObject | undefined> {
  const decide = (node: NodeObject | undefined): { readonly patch?: NodePatch | undefined } => {
    if (node?.metadata.uid !== prior.nodeUid || stateOf(node).taint !== capture.metadata.name) return {};
    const annotations = CORDONED in before.annotations ? { [CORDONED]: before.annotations[CORDONED] ?? null } : {};
    return { patch: patchTo(node, { unschedulable: before.unschedulable, taint: before.taint, annotations }) };
  };
  return (await changeNode(kubernetes, capture.spec.node, decide, signal)).after;
}

/** All nodes, or as many pages of them as it takes to see another that takes pods: a large cluster's are many megabytes. */
async function nodesUntilOpen(
  kubernetes: Kubernetes,
  name: string,
  signal: AbortSignal | undefined,
): Promise<readonly NodeObject[]> {
  const seen: NodeObject[] = [];
  let next = '';
  do {
    const query = { limit: PAGE, ...(next === '' ? {} : { continue: next }) };
    const page = await kubernetes.get<List<NodeObject>>(NODES, { query, ...(signal === undefined ? {} : { signal }) });
    for (const node of page.items) seen.push(node);
    next = page.metadata.continue ?? '';
  } while (next !== '' && !anotherTakesPods(name, seen));
  if (seen.length > 0) return seen;
  throw new ImpoundError('api-failed', 'the API server lists no node at all', { operation: 'GET', thing: NODES });
}
