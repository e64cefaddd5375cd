// Which of two captures is older.
import type { NodeCapture } from '../protocol/index.ts';

/** Text that sorts the oldest first. */
export function ageOf({ metadata: { creationTimestamp = '', name } }: NodeCapture): string {
  return `${creationTimestamp} ${name}`;
}
