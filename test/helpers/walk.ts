// A walk over the processes that has ended: for tests that say themselves which there are.
import type { ProcessSummary, ProcessWalk } from '../../agent/host/walk.ts';

export function walkThatSaw(...processes: readonly ProcessSummary[]): ProcessWalk {
  return { index: () => Promise.resolve(processes), async *records() {}, gaps: () => [], leftBehind: () => false };
}
