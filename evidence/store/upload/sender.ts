// How the bytes of one object get into a store that takes large objects in parts: with credentials, or by granted URLs.
import type { StoredObject, StoredPart } from '../../format/record.ts';

/** How the store calls one version of an object. */
export type Names = Pick<StoredObject, 'versionId' | 'etag'>;

/** Bytes whose SHA-256 (lower-case hex) the store enforces. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly sha256: string;
}

/**
 * Of one object: whole by `put`, or `begin`, parts in any order and several at once, and `complete`. Each tries again
 * itself as long as that helps. `put` and `complete` resolve when the object was seen in the store, and throw
 * `object-exists` where its path is taken.
 */
export interface Sender {
  put(whole: Piece): Promise<Names>;
  /** The upload's id. */
  begin(): Promise<string>;
  /** Numbers count from 1. */
  putPart(upload: string, number: number, part: Piece): Promise<void>;
  /** `parts` are all, in order. */
  complete(upload: string, parts: readonly StoredPart[]): Promise<Names>;
}
