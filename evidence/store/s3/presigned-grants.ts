// Grants uploads into one bundle of a bucket: signs URLs for payload, completes, and says what the store holds.
import { ImpoundError } from '../../errors.ts';
import { layoutOf } from '../../format/layout.ts';
import type { StoredPart } from '../../format/record.ts';
import type { ObjectClaim, UploadGrants } from '../upload/grants.ts';
import { PART_BYTES } from '../upload/part-memory.ts';
import { base64Of, type S3Bucket } from './bucket.ts';
import { causeOf, isNamed } from './error.ts';
import { MAX_SECONDS, presign } from './presign.ts';
import { completeUpload, seenObject, seenParts } from './put-once.ts';

/** S3's own: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const MAX_PARTS = 10_000;
const DIGEST = /^[0-9a-f]{64}$/;

export interface BucketGrantsOptions {
  readonly bucket: S3Bucket;
  /** Of the bundle; without "/" at either end. */
  readonly prefix: string;
  /** Life of a URL, 120 at most and unless told otherwise. */
  readonly seconds?: number;
  /** Of one request's body, whole object or part: 16 MiB at most and unless told otherwise. */
  readonly partBytes?: number;
  /** Of one object: 10,000 at most and unless told otherwise. */
  readonly parts?: number;
}

export function bucketGrants(options: BucketGrantsOptions): UploadGrants {
  const { bucket, prefix, seconds = MAX_SECONDS } = options;
  const partBytes = Math.min(options.partBytes ?? PART_BYTES, PART_BYTES);
  const partCount = Math.min(options.parts ?? MAX_PARTS, MAX_PARTS);
  const keyOf = (path: string): string => {
    if (layoutOf(path)?.kind !== 'payload') throw refused(path, 'only what belongs below data/ is uploaded');
    return prefix === '' ? path : `${prefix}/${path}`;
  };
  const assertPiece = ({ path, size, sha256 }: ObjectClaim): void => {
    if (!Number.isSafeInteger(size) || size < 0 || size > partBytes)
      throw refused(path, `${size} bytes, a request may have ${partBytes}`);
    if (!DIGEST.test(sha256)) throw refused(path, 'its SHA-256 is not 64 lower-case hexadecimal digits');
  };
  const assertNumber = (path: string, number: number): void => {
    if (Number.isSafeInteger(number) && number >= 1 && number <= partCount) return;
    throw refused(path, `part ${number}, an object may have ${partCount}`);
  };
  return {
    async grantObject(claim) {
      const key = keyOf(claim.path);
      assertPiece(claim);
      return presign(bucket.client, bucket.putCommand(key, contentOf(claim)), seconds);
    },
    beginUpload: async (path) => bucket.createUpload(keyOf(path)),
    async grantPart({ upload, number, ...claim }) {
      const key = keyOf(claim.path);
      assertPiece(claim);
      assertNumber(claim.path, number);
      return presign(bucket.client, bucket.partCommand(key, upload, number, contentOf(claim)), seconds);
    },
    async completeUpload(path, upload, parts) {
      const key = keyOf(path);
      assertNumber(path, parts.length);
      for (const part of parts) assertPiece({ path, ...part });
      let stored: Awaited<ReturnType<S3Bucket['contiguousParts']>>;
      try {
        stored = await bucket.contiguousParts(key, upload);
      } catch (error) {
        // an upload that is gone was completed by a call whose answer was lost
        const names = isNamed(causeOf(error), 'NoSuchUpload')
          ? await seenParts(bucket, { key, path, parts })
          : undefined;
        if (names === undefined) throw error;
        return names;
      }
      assertSame(path, parts, stored);
      return (await completeUpload(bucket, { key, path, upload, parts: stored })).names;
    },
    async finished(claim, versionId) {
      const key = keyOf(claim.path);
      assertPiece(claim);
      return seenObject(bucket, { key, path: claim.path, ...contentOf(claim) }, versionId);
    },
    async finishedPart({ path, upload, number, size, sha256 }) {
      const part = await bucket.part(keyOf(path), upload, number);
      return part !== undefined && part.size === size && part.sha256 === sha256;
    },
  };
}

function contentOf({ size, sha256 }: ObjectClaim): { readonly size: number; readonly checksum: string } {
  return { size, checksum: base64Of(sha256) };
}

/** One part too many is as wrong as one too few: what the store holds and what the chain will say must be the same. */
function assertSame(path: string, parts: readonly StoredPart[], stored: readonly StoredPart[]): void {
  const length = Math.max(parts.length, stored.length);
  for (let index = 0; index < length; index++) {
    const [wanted, held] = [parts[index], stored[index]];
    if (wanted !== undefined && wanted.size === held?.size && wanted.sha256 === held.sha256) continue;
    const what = held === undefined ? 'was not stored' : 'is not the one that was named';
    throw new ImpoundError('store-failed', `part ${index + 1} of ${path} ${what}`, {
      operation: 'commit',
      thing: path,
    });
  }
}

function refused(path: string, why: string): ImpoundError {
  return new ImpoundError('grant-refused', `no upload is granted for ${JSON.stringify(path.slice(0, 200))}: ${why}`, {
    operation: 'grant upload',
    thing: path.slice(0, 200),
  });
}
