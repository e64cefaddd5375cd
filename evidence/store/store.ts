// What a store of objects can do: put once, stream once, list, read. Nothing is ever changed or removed.
import { ImpoundError } from '../errors.ts';
import type { StoredObject } from '../format/record.ts';
import type { Uploads, UploadsOptions } from './uploads.ts';

/** Something found in a store; `link` and `other` never belong there and are only reported. */
export interface StoreEntry {
  readonly path: string;
  readonly kind: 'file' | 'link' | 'other';
  /** Bytes. */
  readonly size: number;
  /** Versions that somebody wrote over it since, and marks that hide it: what is read is the first version. */
  readonly later?: number;
}

/** An object that is being written; it appears under its path at `commit`, whole, or not at all. */
export interface ObjectWriter {
  write(chunk: Uint8Array): Promise<void>;
  /** Makes it durable and visible; throws `object-exists` where the path is taken. */
  commit(): Promise<StoredObject>;
  /** Gives it up and frees what it holds. */
  abandon(): Promise<void>;
}

/** Bytes from `start` (0) up to, not including, `end` (all). */
export interface ReadOptions {
  readonly start?: number;
  readonly end?: number;
  /** The version that the chain names; else the first one. */
  readonly versionId?: string | undefined;
}

/**
 * Paths are bundle paths. Every method throws ImpoundError: store-denied, store-full, store-failed, and what is said in
 * `evidence/store/s3/error.ts` of a store that is asked over the network.
 */
export interface Store {
  /** Where it is, for people and for the chain. */
  readonly url: string;
  /** Objects that it is best asked for at once. */
  readonly concurrency: number;
  /**
   * Writes a small object whole; throws `object-exists` where the path is taken. A server is asked for it afterwards, but where
   * `believed` and its answer names the SHA-256 of what it has taken.
   */
  put(path: string, bytes: Uint8Array, believed?: 'believed'): Promise<StoredObject>;
  create(path: string): Promise<ObjectWriter>;
  /** Everything below the prefix, in no particular order. */
  list(prefix?: string): AsyncIterable<StoreEntry>;
  /** Bytes of the object, or undefined where there is none. */
  size(path: string): Promise<number | undefined>;
  /** Throws `object-missing`. */
  read(path: string, options?: ReadOptions): AsyncIterable<Uint8Array>;
  /** Objects that a crash left half-written, each readable once and then given up. */
  unfinished(): AsyncIterable<UnfinishedObject>;
  /** The store of what is below `prefix` only, such as one bundle of many. */
  below(prefix: string): Store;
  /** Lets somebody without credentials write payload, piece by piece. To be kept: it remembers what it saw. */
  uploads(options: UploadsOptions): Uploads;
  /**
   * A URL by which anybody can GET the object's first version as a file, for 120 s at most; it is a secret. Only of a
   * store that serves its objects itself. Throws `object-missing`.
   */
  presignRead?(path: string, seconds: number): Promise<string>;
  /** Before the first object is written: throws what would make that fail. */
  prepare(): Promise<void>;
  /** After the last one: frees what was kept aside. */
  finish(): Promise<void>;
}

/** `release` comes after `publish` and after the object is on the chain: until then a crash finds it here again. */
export interface UnfinishedObject {
  readonly path: string;
  /** Puts what was written under the object's path; throws `object-exists` where that is taken. */
  publish(): Promise<Pick<StoredObject, 'parts' | 'versionId' | 'etag'>>;
  /** Forgets the half-written one. */
  release(): Promise<void>;
}

/** The whole object in memory; throws `content-too-large` past `limit` bytes. */
export async function readWhole(store: Store, path: string, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of store.read(path)) {
    total += chunk.length;
    if (total > limit) throw tooLarge(path, total, limit);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function tooLarge(path: string, size: number, limit: number): ImpoundError {
  return new ImpoundError('content-too-large', `${path} has ${size} bytes or more, and may have ${limit}`, {
    operation: 'read',
    thing: path,
  });
}
