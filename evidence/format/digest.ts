// SHA-256 of bytes in memory.
import { hash } from 'node:crypto';

/** Lower-case hex. */
export function sha256(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}
