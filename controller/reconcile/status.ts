// Writes what has become of a capture: conditional on what was read, checked before it is sent, and only where it differs.
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../evidence/index.ts';
import type { Kubernetes } from '../../kubernetes/index.ts';
import {
  type NodeCapture,
  type NodeCaptureCondition,
  type NodeCaptureStatus,
  parseNodeCapture,
  parseNodeCaptureStatus,
} from '../../protocol/index.ts';

export const CAPTURES = '/apis/impound.dev/v1alpha1/nodecaptures';
const MAX_MESSAGE = 4000;

export type Said = Pick<NodeCaptureCondition, 'type' | 'status' | 'reason' | 'message'>;

export interface StatusChange extends Omit<NodeCaptureStatus, 'conditions'> {
  /** Those that have something new to say. */
  readonly said?: readonly Said[];
}

/** The capture as it is then. Throws `api-conflict` where somebody wrote since it was read. */
export async function writeStatus(
  kubernetes: Kubernetes,
  clock: Clock,
  capture: NodeCapture,
  { said = [], ...change }: StatusChange,
): Promise<NodeCapture> {
  const before = capture.status ?? {};
  const { message } = change;
  const status = parseNodeCaptureStatus({
    ...before,
    ...change,
    ...(message === undefined ? {} : { message: plain(message) }),
    conditions: merged(before.conditions ?? [], said, capture, clock),
    observedGeneration: capture.metadata.generation,
  });
  if (isDeepStrictEqual(status, before)) return capture;
  const { name, resourceVersion } = capture.metadata;
  const body = { metadata: { resourceVersion }, status };
  return parseNodeCapture(await kubernetes.patch(`${CAPTURES}/${name}/status`, 'merge', body));
}

function merged(
  before: readonly NodeCaptureCondition[],
  said: readonly Said[],
  { metadata }: NodeCapture,
  clock: Clock,
): readonly NodeCaptureCondition[] {
  const now = `${clock.now().toISOString().slice(0, 19)}Z`;
  const conditions = new Map(before.map((condition) => [condition.type, condition]));
  for (const { message, ...one } of said) {
    const old = conditions.get(one.type);
    const lastTransitionTime = old?.status === one.status ? old.lastTransitionTime : now;
    const observed = metadata.generation === undefined ? {} : { observedGeneration: metadata.generation };
    conditions.set(one.type, { ...one, message: plain(message), lastTransitionTime, ...observed });
  }
  return [...conditions.values()];
}

/** Of what a store or a node says: the status takes no control characters. */
function plain(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ').slice(0, MAX_MESSAGE);
}
