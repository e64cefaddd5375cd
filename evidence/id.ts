// Identifiers: UUIDv7 for bundles (RFC 9562, section 5.7), so that a listing sorts by time; nonces for entries.
import { randomBytes } from 'node:crypto';

/** 48 bits of Unix milliseconds, then random bits. */
export function bundleId(now: Date): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(now.getTime(), 0, 6);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x70, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

export function nonce(): string {
  return randomBytes(16).toString('hex');
}
