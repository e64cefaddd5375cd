// Where a replica stands: on a suspect node it neither leads nor signs.
import type { NodeCapture } from '../protocol/index.ts';

const ACTIVE: readonly (string | undefined)[] = [undefined, 'Pending', 'Protecting', 'Collecting', 'Sealing'];

/** Evidence is still being taken. */
export function isActive({ status }: NodeCapture): boolean {
  return ACTIVE.includes(status?.phase);
}

export function suspectsOf(captures: Iterable<NodeCapture>, node: string): readonly NodeCapture[] {
  return [...captures].filter((capture) => capture.spec.node === node && isActive(capture));
}
