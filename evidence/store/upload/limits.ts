// What is granted to nobody: uploads of other than payload, of unsettled bytes, or past the limits of a request.
import { ImpoundError } from '../../errors.ts';
import { layoutOf } from '../../format/layout.ts';
import type { StoredPart } from '../../format/record.ts';
import type { ObjectClaim } from './grants.ts';
import { PART_BYTES } from './part-memory.ts';

/** The longest life of a URL; a request that has begun may take longer. */
export const MAX_SECONDS = 120;
/** S3's own: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const MAX_PARTS = 10_000;
const DIGEST = /^[0-9a-f]{64}$/;

export interface LimitOptions {
  /** Of one request's body, whole object or part: 16 MiB at most and unless told otherwise. */
  readonly partBytes?: number;
  /** Of one object: 10,000 at most and unless told otherwise. */
  readonly parts?: number;
}

/** Each throws `grant-refused`. */
export interface Limits {
  assertPath(path: string): void;
  /** Path, size and digest. */
  assertPiece(claim: ObjectClaim): void;
  assertNumber(path: string, number: number): void;
  /** Of a whole object that is to be put together. */
  assertParts(path: string, parts: readonly StoredPart[]): void;
}

export function grantLimits(options: LimitOptions): Limits {
  const partBytes = Math.min(options.partBytes ?? PART_BYTES, PART_BYTES);
  const partCount = Math.min(options.parts ?? MAX_PARTS, MAX_PARTS);
  const limits: Limits = {
    assertPath(path) {
      if (layoutOf(path)?.kind !== 'payload') throw refused(path, 'only what belongs below data/ is uploaded');
    },
    assertPiece({ path, size, sha256 }) {
      limits.assertPath(path);
      if (!Number.isSafeInteger(size) || size < 0 || size > partBytes)
        throw refused(path, `${size} bytes, a request may have ${partBytes}`);
      if (!DIGEST.test(sha256)) throw refused(path, 'its SHA-256 is not 64 lower-case hexadecimal digits');
    },
    assertNumber(path, number) {
      if (Number.isSafeInteger(number) && number >= 1 && number <= partCount) return;
      throw refused(path, `part ${number}, an object may have ${partCount}`);
    },
    assertParts(path, parts) {
      limits.assertPath(path);
      limits.assertNumber(path, parts.length);
      for (const part of parts) limits.assertPiece({ path, ...part });
    },
  };
  return limits;
}

/** Throws `store-failed`: one part too many is as wrong as one too few, the chain must say what the store holds. */
export function assertSameParts(path: string, wanted: readonly StoredPart[], stored: readonly StoredPart[]): void {
  const length = Math.max(wanted.length, stored.length);
  for (let index = 0; index < length; index++) {
    const [named, held] = [wanted[index], stored[index]];
    if (named !== undefined && named.size === held?.size && named.sha256 === held.sha256) continue;
    throw wrongPart(path, index + 1, held === undefined ? 'was not stored' : 'is not the one that was named');
  }
}

export function wrongPart(path: string, number: number, what: string): ImpoundError {
  const context = { operation: 'commit', thing: path };
  return new ImpoundError('store-failed', `part ${number} of ${path} ${what}`, context);
}

export function refused(path: string, why: string): ImpoundError {
  return new ImpoundError('grant-refused', `no upload is granted for ${JSON.stringify(path.slice(0, 200))}: ${why}`, {
    operation: 'grant upload',
    thing: path.slice(0, 200),
  });
}
