// How a store takes objects from somebody who has no credentials for it: grants, and where the store is no server of its
// own, whoever granted takes the bytes too.
import type { Clock } from '../ports.ts';
import type { UploadGrants } from './upload/grants.ts';
import type { LimitOptions } from './upload/limits.ts';

export interface UploadsOptions extends LimitOptions {
  /** Life of a URL, 120 at most and unless told otherwise. */
  readonly seconds?: number;
  /** Needed by a store that is no server of its own, and used by no other. */
  readonly receiver?: Receiver;
}

/** Whose server gives to `receive` what is PUT there. */
export interface Receiver {
  /** Of one bundle only: a grant is valid at this URL and no other. */
  readonly url: string;
  /** Makes grants that nobody else can make: 32 random bytes or more. A grant outlives a restart where this does. */
  readonly secret: Buffer;
  readonly clock?: Clock;
}

export interface Uploads {
  readonly grants: UploadGrants;
  /**
   * Takes the body of a PUT; `token` is the URL's query parameter `grant`, `length` the request's content-length.
   * `body` is not touched before the grant was found good, so that 100 (Continue) may be sent when it is first read; it is
   * left where it is when something is wrong with it, and the connection with it should then be closed. Never throws.
   * Undefined where the sender's URLs lead to the store itself.
   */
  readonly receive?: (token: string, body: AsyncIterable<Uint8Array>, length: number | undefined) => Promise<Received>;
}

/** What to answer: in S3's terms, so that a sender needs to know one language only. */
export interface Received {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Why it was refused, for a log line: an ImpoundError where the store failed. */
  readonly error?: unknown;
}
