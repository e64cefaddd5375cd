// SHA-256 as S3 writes it: base64, and of an object of parts the digest of their digests.
import { createHash } from 'node:crypto';
import type { StoredPart } from '../../format/record.ts';

export function base64Of(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64');
}

export function hexOf(base64: string): string {
  return Buffer.from(base64, 'base64').toString('hex');
}

/** "BASE64-N": SHA-256 over the parts' digests, https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html */
export function compositeOf(parts: readonly StoredPart[]): string {
  const digest = createHash('sha256');
  for (const { sha256 } of parts) digest.update(Buffer.from(sha256, 'hex'));
  return `${digest.digest('base64')}-${parts.length}`;
}

/** The ways in which servers write a checksum: some leave the number of parts away. */
export function formsOf(checksum: string): readonly string[] {
  const [digest = checksum, count] = checksum.split('-');
  return count === undefined ? [checksum] : [checksum, digest];
}
