// Grants uploads into one bundle of a bucket: signs URLs for payload, completes, and says what the store holds.
import type { ObjectClaim, UploadGrants } from '../upload/grants.ts';
import { assertSameParts, grantLimits, type LimitOptions, MAX_SECONDS } from '../upload/limits.ts';
import type { S3Bucket, UploadedPart } from './bucket.ts';
import { base64Of } from './checksum.ts';
import { causeOf, isNamed } from './error.ts';
import { contiguousParts, storedPart } from './listing.ts';
import { presign } from './presign.ts';
import { completeUpload, seenObject, seenParts } from './put-once.ts';

export interface BucketGrantsOptions extends LimitOptions {
  readonly bucket: S3Bucket;
  /** Of the bundle; without "/" at either end. */
  readonly prefix: string;
  /** Life of a URL, 120 at most and unless told otherwise. */
  readonly seconds?: number;
}

export function bucketGrants(options: BucketGrantsOptions): UploadGrants {
  const { bucket, prefix, seconds = MAX_SECONDS } = options;
  const limits = grantLimits(options);
  const keyOf = (path: string): string => {
    limits.assertPath(path);
    return prefix === '' ? path : `${prefix}/${path}`;
  };
  return {
    async grantObject(claim) {
      const key = keyOf(claim.path);
      limits.assertPiece(claim);
      return presign(bucket.client, bucket.putCommand(key, contentOf(claim)), seconds);
    },
    beginUpload: async (path) => bucket.createUpload(keyOf(path)),
    async grantPart({ upload, number, ...claim }) {
      const key = keyOf(claim.path);
      limits.assertPiece(claim);
      limits.assertNumber(claim.path, number);
      return presign(bucket.client, bucket.partCommand(key, upload, number, contentOf(claim)), seconds);
    },
    async completeUpload(path, upload, parts) {
      const key = keyOf(path);
      limits.assertParts(path, parts);
      let stored: readonly UploadedPart[];
      try {
        stored = await contiguousParts(bucket, key, upload);
      } catch (error) {
        // an upload that is gone was completed by a call whose answer was lost
        const names = isNamed(causeOf(error), 'NoSuchUpload')
          ? await seenParts(bucket, { key, path, parts })
          : undefined;
        if (names === undefined) throw error;
        return names;
      }
      assertSameParts(path, parts, stored);
      return (await completeUpload(bucket, { key, path, upload, parts: stored })).names;
    },
    async finished(claim, versionId) {
      const key = keyOf(claim.path);
      limits.assertPiece(claim);
      return seenObject(bucket, { key, path: claim.path, ...contentOf(claim) }, versionId);
    },
    async finishedUpload(path, parts) {
      const key = keyOf(path);
      limits.assertParts(path, parts);
      return seenParts(bucket, { key, path, parts });
    },
    async finishedPart({ path, upload, number, size, sha256 }) {
      const part = await storedPart(bucket, keyOf(path), upload, number);
      return part !== undefined && part.size === size && part.sha256 === sha256;
    },
  };
}

function contentOf({ size, sha256 }: ObjectClaim): { readonly size: number; readonly checksum: string } {
  return { size, checksum: base64Of(sha256) };
}
