// Sends one object with the store's own credentials.
import type { Sender } from '../upload/sender.ts';
import type { S3Bucket, UploadedPart } from './bucket.ts';
import { base64Of } from './checksum.ts';
import { completeUpload, putObject } from './put-once.ts';

export interface BucketObject {
  readonly bucket: S3Bucket;
  readonly key: string;
  /** Bundle path, for messages. */
  readonly path: string;
}

export function bucketSender({ bucket, key, path }: BucketObject): Sender {
  const stored: UploadedPart[] = [];
  return {
    put: (whole) => putObject(bucket, { key, path, ...whole }),
    begin: () => bucket.createUpload(key),
    async putPart(upload, number, { bytes, sha256 }) {
      const etag = await bucket.uploadPart(key, upload, number, { bytes, checksum: base64Of(sha256) });
      stored.push({ number, etag, size: bytes.length, sha256 });
    },
    async complete(upload) {
      const parts = stored.toSorted((a, b) => a.number - b.number);
      return (await completeUpload(bucket, { key, path, upload, parts })).names;
    },
  };
}
