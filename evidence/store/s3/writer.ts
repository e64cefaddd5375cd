// One object of an S3 store while it is written with the store's own credentials.
import type { StoredObject } from '../../format/record.ts';
import type { ObjectWriter } from '../store.ts';
import { PartWriter } from '../upload/part-writer.ts';
import type { Sender } from '../upload/sender.ts';
import { type Bucket, base64Of, type UploadedPart } from './bucket.ts';
import type { PartMemory } from './part-memory.ts';
import { completeUpload, putObject } from './put-once.ts';

export interface S3WriterOptions {
  readonly bucket: Bucket;
  readonly key: string;
  /** Bundle path, for messages. */
  readonly path: string;
  readonly memory: PartMemory;
}

export class S3Writer implements ObjectWriter {
  readonly #writer: PartWriter;

  constructor({ memory, ...at }: S3WriterOptions) {
    this.#writer = new PartWriter({ sender: bucketSender(at), memory });
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#writer.write(chunk);
  }

  commit(): Promise<StoredObject> {
    return this.#writer.commit();
  }

  abandon(): Promise<void> {
    return this.#writer.abandon();
  }
}

/** Of one object. */
export function bucketSender({ bucket, key, path }: Omit<S3WriterOptions, 'memory'>): Sender {
  const stored: UploadedPart[] = [];
  return {
    async put(whole) {
      const { versionId, etag } = await putObject(bucket, { key, path, ...whole });
      return { ...(versionId === undefined ? {} : { versionId }), ...(etag === undefined ? {} : { etag }) };
    },
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
