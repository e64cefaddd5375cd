// What an uploader without credentials asks of whoever has them: a URL for exactly these bytes, and what the store holds.
import type { StoredPart } from '../../format/record.ts';
import type { Names } from './sender.ts';

/** One PUT, to be sent as it stands: each header is signed. Whoever holds the URL can use it, so it belongs in no message. */
export interface Grant {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** RFC 3339, by the clock of who granted it: 120 s later at most. */
  readonly expires: string;
}

/** The bytes that will be sent, and no others. SHA-256 in lower-case hex. */
export interface ObjectClaim {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

export interface PartClaim extends ObjectClaim {
  readonly upload: string;
  /** From 1 on. */
  readonly number: number;
}

/**
 * Every function tries again itself as long as that helps, and then throws ImpoundError: `grant-refused` for what is not
 * granted to anybody, else what the store said.
 */
export interface UploadGrants {
  /** For an object that fits into one part. */
  grantObject(claim: ObjectClaim): Promise<Grant>;
  /** An id for the parts of a larger one. */
  beginUpload(path: string): Promise<string>;
  grantPart(claim: PartClaim): Promise<Grant>;
  /**
   * `parts` are all, in order, and must be what the store holds of this upload. Asked again after it succeeded, it
   * answers the same. Throws `object-exists`, and `store-failed` where a part is missing or another.
   */
  completeUpload(path: string, upload: string, parts: readonly StoredPart[]): Promise<Names>;
  /** Undefined where the store has no such object; throws `object-exists` where it holds other bytes there. */
  finished(claim: ObjectClaim, versionId?: string): Promise<Names | undefined>;
  /** The same of an object of parts, whatever its upload was called. */
  finishedUpload(path: string, parts: readonly StoredPart[]): Promise<Names | undefined>;
  /** Whether the upload holds this part; throws `object-missing` where there is no such upload. */
  finishedPart(claim: PartClaim): Promise<boolean>;
}
