// How a node was before it was held, recorded before anything is changed, and once for all captures that hold it.
import { type Clock, ImpoundError } from '../../evidence/index.ts';
import { type NodeCapture, type NodeCaptureStatus, parseNodeCaptureStatus } from '../../protocol/index.ts';
import { isUnreleased } from './holders.ts';
import { ANNOTATIONS, EFFECT, type NodeState, stateOf, TAINT } from './marks.ts';
import type { NodeObject } from './node.ts';

export type Prior = NonNullable<NodeCaptureStatus['prior']>;

/**
 * Of this capture itself, whichever node object that was of: one made anew under the name is left alone. Else of another
 * unreleased one of this node object, whose word is older than what was changed for it; else as `node` is.
 *
 * `captures` are all of that node, the capture itself among them or not: asked of the API server after `node` was, not of a
 * watch. A prior stands in a status before the node is changed for it, so that in this order either the node is as it was, or
 * that prior is among them. Throws `api-conflict` where the node shows that it is not.
 */
export function priorFor(
  node: NodeObject,
  capture: NodeCapture,
  captures: readonly NodeCapture[],
  clock: Clock,
): Prior {
  if (capture.status?.prior !== undefined) return capture.status.prior;
  const ofThisNode = captures.filter(({ spec }) => spec.node === node.metadata.name);
  const recorded = ofThisNode
    .filter(isUnreleased)
    .map(({ status }) => status?.prior)
    .find((prior) => prior?.nodeUid === node.metadata.uid);
  if (recorded !== undefined) return recorded;
  const { taint } = stateOf(node);
  const holder = ofThisNode.filter(isUnreleased).find(({ metadata }) => metadata.name === taint);
  if (holder !== undefined && holder.metadata.name !== capture.metadata.name) throw unread(node, holder);
  const names = [capture, ...ofThisNode].map(({ metadata }) => metadata.name);
  return readPrior(node, names, clock);
}

/** `names` are those of captures of this node: a taint with one of them is no other's, and not part of what was. */
export function readPrior(node: NodeObject, names: readonly string[], clock: Clock): Prior {
  const { unschedulable, annotations } = stateOf(node);
  const taints = (node.spec.taints ?? []).filter(({ key, value }) => key === TAINT && !names.includes(value ?? ''));
  const taint = taints.find(({ effect }) => effect === EFFECT) ?? taints[0];
  return {
    nodeUid: node.metadata.uid,
    recordedAt: clock.now().toISOString(),
    unschedulable,
    ...(taint === undefined
      ? {}
      : { taint: { effect: taint.effect, ...(taint.value === undefined ? {} : { value: taint.value }) } }),
    annotations: ANNOTATIONS.flatMap((name) => recordable(name, annotations[name] ?? null)),
  };
}

/** What a node is in once it is as it was: annotations that could not be recorded are not in it, and stay as they are. */
export function stateBefore(prior: Prior): NodeState {
  const { taint, annotations = [] } = prior;
  return {
    unschedulable: prior.unschedulable,
    taint: taint?.effect === EFFECT ? (taint.value ?? '') : null,
    annotations: Object.fromEntries(annotations.map(({ name, value }) => [name, value ?? null])),
  };
}

function unread(node: NodeObject, { metadata: { name } }: NodeCapture): ImpoundError {
  const message = `node ${node.metadata.name} is held by NodeCapture ${name}, which was read before it said so: read it again`;
  return new ImpoundError('api-conflict', message, { operation: 'record the prior state', thing: node.metadata.name });
}

type Annotation = NonNullable<Prior['annotations']>[number];

/** Whoever has the node may write an annotation that the status does not take: it is left as it is, and not held by. */
function recordable(name: string, value: string | null): readonly Annotation[] {
  if (value === null) return [{ name }];
  const annotation = { name, value };
  const prior = { nodeUid: 'x', recordedAt: '2000-01-01T00:00:00Z', unschedulable: false, annotations: [annotation] };
  try {
    parseNodeCaptureStatus({ prior });
    return [annotation];
  } catch {
    return []; // the schema's refusal is the answer; said by planHold as a refusal
  }
}
