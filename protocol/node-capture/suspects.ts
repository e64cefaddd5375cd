// A NodeCapture's suspects as the agent takes them: one thing each, with its kind.
import type { CaptureOrder } from '../agent/messages.ts';
import type { NodeCaptureSpec } from '../node-capture.ts';

export function suspectsOf({ suspects = [] }: NodeCaptureSpec): CaptureOrder['suspects'] {
  return suspects.flatMap(({ pod, container, pid }) => [
    ...(pod === undefined ? [] : [{ kind: 'pod' as const, ...pod }]),
    ...(container === undefined ? [] : [{ kind: 'container' as const, ...container }]),
    ...(pid === undefined ? [] : [{ kind: 'pid' as const, pid }]),
  ]);
}
