// The captures of one node as they are now: what the watch has may be older than what another capture relies upon.
import { type NodeCapture, parseNodeCapture } from '../../protocol/index.ts';
import { isUnreleased } from '../containment/holders.ts';
import { isMarked } from '../containment/marks.ts';
import type { NodeObject } from '../containment/node.ts';
import type { Reconciling } from './phase.ts';
import { CAPTURES } from './status.ts';

/** Throws `usage` where one cannot be read by this version: it may hold the node, so nothing is put back without it. */
export async function listCaptures({ kubernetes }: Reconciling, node: string): Promise<readonly NodeCapture[]> {
  const { items } = await kubernetes.list<unknown>(CAPTURES, { query: { fieldSelector: `spec.node=${node}` } });
  return items.map(parseNodeCapture);
}

/**
 * All that may matter to a capture that is about to hold `node`, which was read just now. The API server reads every capture of
 * the cluster for a list, so none is asked for where none can be missed: what the watch does not tell of yet has at most set its
 * mark on the node, and there is none.
 */
export function capturesBeside(
  capture: NodeCapture,
  node: NodeObject,
  context: Reconciling,
): () => Promise<readonly NodeCapture[]> {
  const marked = isMarked(node);
  const isAlone = (): boolean =>
    !context
      .watched()
      .filter(({ spec, metadata }) => spec.node === capture.spec.node && metadata.name !== capture.metadata.name)
      .some(isUnreleased);
  return async () => (!marked && isAlone() ? [capture] : listCaptures(context, capture.spec.node));
}
