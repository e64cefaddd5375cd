// Takes the body of one granted PUT: exactly the bytes that were granted, or none of them; and answers as S3 would.
import { ImpoundError } from '../../errors.ts';
import type { StoredObject } from '../../format/record.ts';
import { within } from '../../stream/within.ts';
import type { DirectoryWriter } from '../directory-writer.ts';
import type { Received } from '../uploads.ts';

/** How long a body may take, in milliseconds. */
export interface Pace {
  /** Without a byte. */
  readonly silence: number;
  readonly whole: number;
}

/** 16 MiB at 28 kB/s. */
const PACE: Pace = { silence: 30_000, whole: 600_000 };

export const STORED: Received = { status: 200, headers: {}, body: '' };

/** Writes all of `body` and commits; throws ImpoundError or what `answerTo` knows. */
export async function takeBody(
  writer: DirectoryWriter,
  body: AsyncIterable<Uint8Array>,
  expected: Pick<StoredObject, 'size' | 'sha256'>,
  pace: Pace = PACE,
): Promise<StoredObject> {
  const deadline = performance.now() + pace.whole;
  // no for-await: leaving it would destroy the request, and with it the way of the answer
  const chunks = body[Symbol.asyncIterator]();
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await nextOf(chunks, Math.min(pace.silence, deadline - performance.now()));
      if (done === true) break;
      size += value.length;
      if (size > expected.size) throw new BodyRefusal(400, 'InvalidRequest', 'more bytes came than were granted');
      await writer.write(value);
    }
    if (size < expected.size) throw new BodyRefusal(400, 'IncompleteBody', `${size} bytes came of ${expected.size}`);
    return await writer.commit(expected);
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/** Of a request that is refused for what it is, and not for what became of the store. */
export class BodyRefusal extends Error {
  readonly status: number;
  /** S3's, https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
  readonly code: string;

  constructor(status: number, code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = status;
    this.code = code;
  }
}

/** S3 has no answer of a disk that is full: HTTP has. */
const ANSWERS: Partial<Readonly<Record<ImpoundError['code'], readonly [number, string, string]>>> = {
  'object-exists': [412, 'PreconditionFailed', 'it is in the store already'],
  'object-missing': [404, 'NoSuchUpload', 'there is no such upload'],
  'content-damaged': [400, 'BadDigest', 'the bytes have another SHA-256 than was granted'],
  'store-full': [507, 'InsufficientStorage', 'the store is full'],
  'store-denied': [403, 'AccessDenied', 'the store may not be written'],
  'store-not-directory': [400, 'InvalidRequest', 'another object stands on the way to it'],
  'path-invalid': [400, 'InvalidRequest', 'its path is none'],
};

/** What went wrong stays here, but for its kind. */
export function answerTo(error: unknown): Received {
  const known = error instanceof ImpoundError ? ANSWERS[error.code] : undefined;
  const [status, code, message] =
    error instanceof BodyRefusal
      ? ([error.status, error.code, error.message] as const)
      : (known ?? ([500, 'InternalError', 'the store failed'] as const));
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>\n`;
  return { status, headers: { 'content-type': 'application/xml' }, body, error };
}

async function nextOf(
  chunks: AsyncIterator<Uint8Array>,
  milliseconds: number,
): Promise<IteratorResult<Uint8Array, unknown>> {
  try {
    return await within(chunks.next(), Math.max(0, milliseconds), () => {
      throw new BodyRefusal(400, 'RequestTimeout', 'the body came too slowly');
    });
  } catch (error) {
    if (error instanceof BodyRefusal) throw error;
    throw new BodyRefusal(400, 'IncompleteBody', 'the connection broke', error);
  }
}
