// Which captures hold a node: it is given back when the last of them is released.
import type { NodeCapture } from '../../protocol/index.ts';
import { ageOf } from '../age.ts';

/** Whether the node, as far as this capture knows, has not been given back yet. */
export function isUnreleased({ status }: NodeCapture): boolean {
  return status?.phase !== 'Released' && !status?.conditions?.some(isReleased);
}

/**
 * Whether it goes on holding this very node. One that waits for its own release does not: two that are released at once
 * would each leave the node to the other.
 */
export function isHolding(capture: NodeCapture, nodeUid: string): boolean {
  const { metadata, spec, status } = capture;
  const leaving = spec.release === true || metadata.deletionTimestamp !== undefined;
  return !leaving && isUnreleased(capture) && status?.prior?.nodeUid === nodeUid;
}

/** Whom the taint names once `leaving` is gone: the oldest that cordons, else the oldest. */
export function nextHolder(
  leaving: NodeCapture,
  captures: readonly NodeCapture[],
  nodeUid: string,
): NodeCapture | undefined {
  const [next] = captures
    .filter(({ metadata, spec }) => metadata.name !== leaving.metadata.name && spec.node === leaving.spec.node)
    .filter((capture) => isHolding(capture, nodeUid))
    .toSorted((one, two) => Number(two.spec.cordon) - Number(one.spec.cordon) || compare(ageOf(one), ageOf(two)));
  return next;
}

function compare(one: string, two: string): number {
  return one < two ? -1 : Number(one > two);
}

function isReleased({ type, status }: { readonly type: string; readonly status: string }): boolean {
  return type === 'Released' && status === 'True';
}
