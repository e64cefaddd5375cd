// How long a capture may collect.
import type { Clock } from '../../evidence/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';

/** Why collecting ends then. */
export const DEADLINE = 'its deadline has passed';

/** From now on; negative once it is over. */
export function secondsLeft({ spec, status }: NodeCapture, clock: Clock): number {
  const started = Date.parse(status?.startedAt ?? '') || clock.now().getTime();
  return spec.deadlineSeconds - (clock.now().getTime() - started) / 1000;
}
