// Puts an object under a key that must be free, and sees it in the store before anybody says so: an answer that was lost
// is asked for, and what stands there must be what was sent.
import { ImpoundError } from '../../errors.ts';
import type { StoredPart } from '../../format/record.ts';
import type { Names } from '../upload/sender.ts';
import type { Answer, Head, S3Bucket, UploadedPart } from './bucket.ts';
import { base64Of, compositeOf, formsOf } from './checksum.ts';
import { causeOf, isBroken, isNamed, isTaken } from './error.ts';

export interface WholeObject {
  readonly key: string;
  /** Bundle path, for messages. */
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly sha256: string;
}

export interface PartedObject {
  readonly key: string;
  readonly path: string;
  readonly upload: string;
  /** All of them, in order. */
  readonly parts: readonly UploadedPart[];
}

/**
 * Throws `object-exists` where other bytes stand there, or where the same were put by another call. `believed`: an answer that
 * names the checksum is enough, where nothing was lost on its way.
 */
export async function putObject(
  bucket: S3Bucket,
  { key, path, bytes, sha256 }: WholeObject,
  believed?: 'believed',
): Promise<Names> {
  const wanted = { key, path, size: bytes.length, checksum: base64Of(sha256) };
  const put = (attempted: (attempt: number) => void) =>
    bucket.put(key, { bytes, checksum: wanted.checksum }, attempted);
  return once(bucket, wanted, put, believed);
}

/** Throws `object-exists`, and `store-failed` where the parts are not one after the other. */
export async function completeUpload(
  bucket: S3Bucket,
  { key, path, upload, parts }: PartedObject,
): Promise<{ readonly size: number; readonly names: Names }> {
  const gap = parts.findIndex(({ number }, index) => number !== index + 1);
  if (gap !== -1 || parts.length === 0)
    throw new ImpoundError('store-failed', `part ${gap + 1} of ${path} was not stored`, {
      operation: 'commit',
      thing: path,
    });
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const names = await once(bucket, { key, path, size, checksum: compositeOf(parts) }, (attempted) =>
    bucket.completeUpload(key, upload, parts, attempted),
  );
  return { size, names };
}

/** Undefined where nothing stands there; throws `object-exists` where that is something else. */
export async function seenObject(bucket: S3Bucket, wanted: Wanted, versionId?: string): Promise<Names | undefined> {
  const seen = await bucket.head(wanted.key, versionId);
  if (seen === undefined) return undefined;
  if (seen.checksum === undefined) throw unsuitable(wanted.path);
  if (!isSame(seen, wanted)) throw objectExists(wanted.path);
  return namesOf(seen);
}

/** The same of an object that was put together of these. */
export async function seenParts(
  bucket: S3Bucket,
  { key, path, parts }: { readonly key: string; readonly path: string; readonly parts: readonly StoredPart[] },
): Promise<Names | undefined> {
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  return seenObject(bucket, { key, path, size, checksum: compositeOf(parts) });
}

export interface Wanted {
  readonly key: string;
  readonly path: string;
  readonly size: number;
  /** As the store shows it of what was sent. */
  readonly checksum: string;
}

async function once(
  bucket: S3Bucket,
  wanted: Wanted,
  work: (attempted: (attempt: number) => void) => Promise<Answer>,
  believed?: 'believed',
): Promise<Names> {
  const { key, path } = wanted;
  let attempts = 0;
  let answer: Answer;
  try {
    answer = await work((attempt) => {
      attempts = attempt;
    });
  } catch (error) {
    const cause = causeOf(error);
    // a connection that broke is given up only where the key is taken
    const taken = isTaken(cause) || isBroken(cause);
    // an upload that is gone after a lost answer was completed by it
    const completed = attempts > 1 && isNamed(cause, 'NoSuchUpload');
    if (!taken && !completed) throw error;
    const seen = completed ? await bucket.awaited(key) : await bucket.head(key);
    const own = (attempts > 1 || isBroken(cause)) && seen !== undefined && isSame(seen, wanted);
    if (own) return namesOf(seen);
    if (seen === undefined || !taken) throw error;
    throw objectExists(path, cause);
  }
  if (believed && attempts === 1 && answer.checksum === wanted.checksum) return namesOf(answer);
  // an answer that was waited for in vain may have been under way: some servers then answer the next try at once
  const seen = attempts > 1 ? await bucket.awaited(key) : await bucket.head(key, answer.versionId);
  return confirmed(wanted, seen);
}

/** Throws `store-unsuitable` where the store does not say what its bytes are. */
function confirmed(wanted: Wanted, seen: Head | undefined): Names {
  const context = { operation: 'commit', thing: wanted.path };
  if (seen === undefined)
    throw new ImpoundError('store-failed', `${wanted.path} is not there after it was stored`, context);
  if (seen.checksum === undefined) throw unsuitable(wanted.path);
  if (isSame(seen, wanted)) return namesOf(seen);
  throw new ImpoundError(
    'store-failed',
    `${wanted.path}: the store holds ${seen.size} bytes with checksum ${seen.checksum}, ${wanted.size} with ${wanted.checksum} were sent`,
    context,
  );
}

function objectExists(path: string, cause?: unknown): ImpoundError {
  const message = `${path} is in the store already; nothing stored is ever changed`;
  return new ImpoundError('object-exists', message, { operation: 'commit', thing: path, cause });
}

function unsuitable(path: string): ImpoundError {
  return new ImpoundError(
    'store-unsuitable',
    'the store keeps no SHA-256 of what it holds, so that nothing proves what is in it: use one that does ("check --store" tells)',
    { operation: 'commit', thing: path },
  );
}

function isSame(seen: Head, { size, checksum }: Wanted): boolean {
  return seen.size === size && seen.checksum !== undefined && formsOf(checksum).includes(seen.checksum);
}

function namesOf({ versionId, etag }: Pick<Answer, 'versionId' | 'etag'>): Names {
  return { ...(versionId === undefined ? {} : { versionId }), ...(etag === undefined ? {} : { etag }) };
}
