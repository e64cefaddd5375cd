// A capture of the bed while it is made: begun, seen to its end, and what it says of its collecting.
import assert from 'node:assert/strict';
import type { NodeCapture, NodeCaptureRequest } from '../../protocol/index.ts';
import type { Impound } from '../testbed/impound.ts';
import { verified } from './sealed.ts';

/** Its agent is in the middle of it, and has stored something; what is slow is left out. */
export async function begin(impound: Impound, name: string, spec: Partial<NodeCaptureRequest>): Promise<void> {
  await impound.capture(name, { collectors: { skip: ['timeline', 'logs'] }, ...spec });
  await impound.until(name, 30, ({ status }) => status?.session !== undefined && (status.artefacts ?? 0) > 15);
}

/** The condition of its collecting. */
export function collected({ status }: NodeCapture) {
  return status?.conditions?.find(({ type }) => type === 'Collected');
}

/** Waits until it is sealed with all that was asked for; it verifies. */
export async function untilComplete(impound: Impound, name: string, home: string, seconds = 120): Promise<NodeCapture> {
  const sealed = await impound.untilPhase(name, seconds, 'Sealed', 'Failed', 'Cancelled');
  assert.equal(collected(sealed)?.reason, 'Complete', JSON.stringify(sealed.status));
  const { code, stdout } = await verified(impound, sealed, home);
  assert.equal(code, 0, stdout);
  return sealed;
}
