// A prefix in a bucket as a store: each object put once, its SHA-256 enforced by the server, read by its first version.
import { basename } from 'node:path';
import { ImpoundError } from '../../errors.ts';
import { sha256 } from '../../format/digest.ts';
import { assertBundlePath, isBundlePath } from '../../format/layout.ts';
import type { StoredObject } from '../../format/record.ts';
import { type S3Location, s3Url } from '../location.ts';
import type { ObjectWriter, ReadOptions, Store, StoreEntry, UnfinishedObject } from '../store.ts';
import { missing } from '../store-error.ts';
import { PartMemory } from '../upload/part-memory.ts';
import { PartWriter } from '../upload/part-writer.ts';
import type { Uploads, UploadsOptions } from '../uploads.ts';
import { S3Bucket, type UploadedPart } from './bucket.ts';
import { bucketSender } from './bucket-sender.ts';
import { type S3Access, s3Client } from './client.ts';
import { causeOf, isNamed, isRetryable, s3Error } from './error.ts';
import { contiguousParts, firstVersion, uploads, versions } from './listing.ts';
import { presignGet } from './presign.ts';
import { bucketGrants } from './presigned-grants.ts';
import type { Protection } from './protection.ts';
import { completeUpload, putObject } from './put-once.ts';
import { type Patience, pause } from './retry.ts';

/** Requests that are answered at once: each waits for the network most of its time. */
const CONCURRENCY = 16;

export interface S3StoreOptions extends S3Location, S3Access {
  readonly protection?: Protection;
  readonly patience?: Patience;
}

export class S3Store implements Store {
  readonly url: string;
  readonly concurrency = CONCURRENCY;
  readonly #bucket: S3Bucket;
  readonly #prefix: string;
  readonly #options: S3StoreOptions;
  readonly #memory = new PartMemory();
  /** First version of each key, as far as it was listed or put. */
  readonly #versions: Map<string, string>;

  /** `shared` is another store's of the same bucket. */
  constructor(options: S3StoreOptions, shared?: { readonly bucket: S3Bucket; readonly versions: Map<string, string> }) {
    const { bucket, prefix, protection, patience } = options;
    this.#options = options;
    this.url = s3Url(options);
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
    this.#versions = shared?.versions ?? new Map();
    this.#bucket =
      shared?.bucket ??
      new S3Bucket({
        client: s3Client(options),
        bucket,
        ...(protection === undefined ? {} : { protection }),
        ...(patience === undefined ? {} : { patience }),
      });
  }

  below(prefix: string): S3Store {
    const shared = { bucket: this.#bucket, versions: this.#versions };
    return new S3Store({ ...this.#options, prefix: `${this.#prefix}${prefix}` }, shared);
  }

  async finish(): Promise<void> {}

  async prepare(): Promise<void> {
    await this.#bucket.assertSuitable();
  }

  async put(path: string, bytes: Uint8Array, believed?: 'believed'): Promise<StoredObject> {
    const key = this.#key(path);
    const digest = sha256(bytes);
    const names = await putObject(this.#bucket, { key, path, bytes, sha256: digest }, believed);
    if (names.versionId !== undefined) this.#versions.set(key, names.versionId);
    return { size: bytes.length, sha256: digest, ...names };
  }

  async create(path: string): Promise<ObjectWriter> {
    return new PartWriter({
      sender: bucketSender({ bucket: this.#bucket, key: this.#key(path), path }),
      memory: this.#memory,
    });
  }

  async *list(prefix = ''): AsyncIterable<StoreEntry> {
    const found = new Map<string, { size: number | undefined; listed: Set<string | undefined> }>();
    const below = prefix === '' ? '' : `${prefix.replace(/\/$/, '')}/`;
    for await (const { key, versionId, size } of versions(this.#bucket, `${this.#prefix}${below}`)) {
      const path = key.slice(this.#prefix.length);
      const item = found.get(path) ?? { size: undefined, listed: new Set() };
      found.set(path, item);
      // some servers give the last one of a page again as the first of the next
      item.listed.add(versionId);
      if (size === undefined) continue; // a mark that hides what is before it
      // the newest comes first, so that the last one is the one that was written first
      item.size = size;
      if (versionId !== undefined) this.#versions.set(key, versionId);
    }
    for (const [path, { size, listed }] of found) {
      if (size !== undefined)
        yield { path, kind: 'file', size, ...(listed.size > 1 ? { later: listed.size - 1 } : {}) };
    }
  }

  async size(path: string): Promise<number | undefined> {
    const key = this.#key(path);
    return (await this.#bucket.head(key, this.#versions.get(key)))?.size;
  }

  /** A connection that breaks off is taken up where it did. */
  async *read(path: string, { start = 0, end, versionId }: ReadOptions = {}): AsyncIterable<Uint8Array> {
    const key = this.#key(path);
    const version = versionId ?? this.#versions.get(key);
    const { milliseconds } = this.#bucket.patience;
    let waited = performance.now();
    let failures = 0;
    for (let position = start; end === undefined || position < end; ) {
      try {
        const range = { start: position, ...(end === undefined ? {} : { end }) };
        for await (const chunk of await this.#bucket.get(key, range, version)) {
          position += chunk.length;
          failures = 0;
          yield chunk;
          waited = performance.now(); // not what whoever reads took for it
        }
        return;
      } catch (error) {
        if (position > start && isNamed(causeOf(error), 'InvalidRange')) return;
        if (error instanceof ImpoundError)
          throw error.code === 'object-missing' ? missing(path, 'no such object') : error;
        if (!isRetryable(error) || performance.now() - waited > milliseconds)
          throw s3Error(error, { action: 'GetObject', bucket: this.#bucket.name, key });
        await pause(++failures);
      }
    }
  }

  /** Of several uploads of one path, whose first answers were lost, the one with the most bytes. */
  async *unfinished(): AsyncIterable<UnfinishedObject> {
    const best = new Map<string, { readonly upload: string; readonly parts: readonly UploadedPart[] }>();
    for await (const { key, upload } of uploads(this.#bucket, this.#prefix)) {
      const path = key.slice(this.#prefix.length);
      if (!isBundlePath(path)) continue;
      const parts = await contiguousParts(this.#bucket, key, upload);
      if (sizeOf(parts) > sizeOf(best.get(path)?.parts ?? [])) best.set(path, { upload, parts });
    }
    for (const [path, { upload, parts }] of best) {
      yield {
        path,
        publish: async () => {
          const { names } = await completeUpload(this.#bucket, { key: this.#key(path), path, upload, parts });
          return { parts: parts.map(({ size, sha256: digest }) => ({ size, sha256: digest })), ...names };
        },
        // it ended when it was published
        release: async () => undefined,
      };
    }
  }

  uploads(options: UploadsOptions): Uploads {
    return { grants: bucketGrants({ ...options, bucket: this.#bucket, prefix: this.#prefix.replace(/\/$/, '') }) };
  }

  async presignRead(path: string, seconds: number): Promise<string> {
    const key = this.#key(path);
    const known = this.#versions.get(key);
    const first = known === undefined ? await firstVersion(this.#bucket, key) : { versionId: known };
    if (first === undefined) throw missing(path, 'no such object');
    const reading = { bucket: this.#bucket.name, key, versionId: first.versionId, name: basename(path) };
    return presignGet(this.#bucket.client, reading, seconds);
  }

  #key(path: string): string {
    assertBundlePath(path, 'store');
    return `${this.#prefix}${path}`;
  }
}

function sizeOf(parts: readonly UploadedPart[]): number {
  return parts.reduce((sum, { size }) => sum + size, 0);
}
