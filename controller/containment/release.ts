// Gives a node back: what was changed and still stands so becomes what it was; what somebody changed since is left.

import type { Kubernetes } from '../../kubernetes/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import type { HoldRequest } from './hold.ts';
import { isHolding, nextHolder } from './holders.ts';
import {
  CORDONED,
  type Difference,
  differences,
  type NodeState,
  patchTo,
  SET,
  shownState,
  stateOf,
  TAINT,
} from './marks.ts';
import { changeNode, type NodeObject, type NodePatch } from './node.ts';
import { type Prior, stateBefore } from './prior.ts';

/** Details of a custody entry. */
export interface ReleaseOutcome {
  readonly node: string;
  readonly nodeUid: string;
  /**
   * restored: it is as it was, but for `left`. handed-over: another capture holds it on. as-before: nothing of ours stood
   * there (any more). node-gone, another-node: nothing was done.
   */
  readonly outcome: 'restored' | 'handed-over' | 'as-before' | 'node-gone' | 'another-node';
  /** The capture that holds it on. */
  readonly holder?: string;
  readonly before?: NodeState;
  readonly after?: NodeState;
  /** What somebody else changed while it was held, and is left as found. */
  readonly left: readonly Difference[];
}

export interface ReleasePlan extends Pick<ReleaseOutcome, 'outcome' | 'left'> {
  readonly patch: NodePatch | undefined;
  readonly holder?: string;
}

/** What would change about the node as it is. No I/O. */
export function planRelease(node: NodeObject | undefined, request: HoldRequest): ReleasePlan {
  const { capture, prior, captures } = request;
  if (node === undefined) return { outcome: 'node-gone', patch: undefined, left: [] };
  if (node.metadata.uid !== prior.nodeUid) return { outcome: 'another-node', patch: undefined, left: [] };
  const holder = nextHolder(capture, captures, prior.nodeUid);
  return holder === undefined ? restore(node, request) : handOver(node, request, holder);
}

/**
 * One conditional patch. `captures` are read from the API server just before, not from a watch: one that holds and is not
 * among them loses its hold until it is applied again. A second call changes nothing. Throws as Kubernetes does.
 */
export async function releaseHold(kubernetes: Kubernetes, request: HoldRequest): Promise<ReleaseOutcome> {
  const { capture, prior, signal } = request;
  const { node } = capture.spec;
  const change = await changeNode(kubernetes, node, (found) => planRelease(found, request), signal);
  const { patch: _, outcome, ...decision } = change.decision;
  const states =
    change.before?.metadata.uid === prior.nodeUid && change.after !== undefined
      ? { before: shownState(stateOf(change.before)), after: shownState(stateOf(change.after)) }
      : {};
  return { node, nodeUid: prior.nodeUid, outcome, ...states, ...decision };
}

function handOver(node: NodeObject, { capture, prior, captures }: HoldRequest, holder: NodeCapture): ReleasePlan {
  const now = stateOf(node);
  const { name } = holder.metadata;
  const others = captures.filter(({ metadata }) => metadata.name !== capture.metadata.name);
  const named = [capture, ...others].find(({ metadata }) => metadata.name === now.taint);
  // the name of another that holds on may stay; a taint that names no capture is somebody else's matter
  const stays = named === undefined || (named !== capture && isHolding(named, prior.nodeUid));
  const patch = stays ? undefined : patchTo(node, { ...now, taint: name, annotations: {} });
  return { outcome: 'handed-over', holder: name, patch, left: [] };
}

function restore(node: NodeObject, { capture, prior, captures }: HoldRequest): ReleasePlan {
  const now = stateOf(node);
  const before = stateBefore(prior);
  const names = [capture, ...captures].map(({ metadata }) => metadata.name);
  const asBefore = differences(before, now).length === 0;
  if (asBefore) return { outcome: 'as-before', patch: undefined, left: [] };
  const set = whatWasSet(now, prior, names);
  const left = differences(set, now);
  const changed = new Set(left.map(({ what }) => what));
  const target: NodeState = {
    unschedulable: changed.has('spec.unschedulable') ? now.unschedulable : before.unschedulable,
    taint: changed.has(`taint ${TAINT}`) ? now.taint : before.taint,
    annotations: Object.fromEntries(
      Object.entries(before.annotations).filter(
        ([name]) => name in set.annotations && !changed.has(`annotation ${name}`),
      ),
    ),
  };
  const patch = patchTo(node, target);
  return { outcome: patch === undefined ? 'as-before' : 'restored', patch, left };
}

/**
 * What stood there once the node was held. Whether it was cordoned too (it may have been refused) is told by the node: by
 * the taint, which its kubelet cannot change, or by the annotation, where somebody took the taint away.
 */
function whatWasSet(now: NodeState, prior: Prior, names: readonly string[]): NodeState {
  const before = stateBefore(prior);
  const tainted = now.taint !== null && names.includes(now.taint);
  const marked = now.annotations[CORDONED] === SET && before.annotations[CORDONED] !== SET;
  const cordoned = tainted || marked;
  const [first = ''] = names;
  const annotations = Object.fromEntries(
    Object.keys(before.annotations)
      .filter((name) => cordoned || name !== CORDONED)
      .map((name) => [name, SET]),
  );
  return cordoned
    ? { unschedulable: true, taint: tainted ? now.taint : first, annotations }
    : { unschedulable: before.unschedulable, taint: before.taint, annotations };
}
