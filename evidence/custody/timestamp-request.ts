// Asks a time-stamping authority over HTTP for a token over some bytes (RFC 3161, sections 2.4 and 3.4).
import { hash, randomBytes } from 'node:crypto';
import { describeError, errnoOf, ImpoundError } from '../errors.ts';
import { assertSigned } from '../verify/timestamp-authority.ts';
import { MAX_TOKEN_BYTES, parseTimestamp, type TimestampToken } from '../verify/timestamp-token.ts';
import { isOver } from '../verify/timestamps.ts';

export interface TimestampRequestOptions {
  readonly signal?: AbortSignal;
  /** Deadline of the whole exchange; default 10. */
  readonly seconds?: number;
}

export interface TimestampResponse {
  /** The whole answer (TimeStampResp), as it is stored. */
  readonly bytes: Buffer;
  readonly time: Date;
}

const DEFAULT_SECONDS = 10;

/**
 * A token over `entryBytes`, checked against what was asked and against the certificate that it brings; whose that is,
 * verify asks. Throws `tsa-unavailable` whatever goes wrong, with the URL and why.
 */
export async function requestTimestamp(
  url: string,
  entryBytes: Uint8Array,
  { signal, seconds = DEFAULT_SECONDS }: TimestampRequestOptions = {},
): Promise<TimestampResponse> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(new Error(`no answer within ${seconds} s`)), seconds * 1000);
  const either = signal === undefined ? deadline.signal : AbortSignal.any([deadline.signal, signal]);
  try {
    const nonce = randomNonce();
    const bytes = await exchange(url, timestampQuery(entryBytes, nonce), either);
    const answer = parseTimestamp(bytes);
    if (answer.kind === 'refused') throw new Error(`it refused: ${answer.reason}`);
    checkAnswer(answer, entryBytes, nonce);
    return { bytes, time: answer.time };
  } catch (cause) {
    throw new ImpoundError('tsa-unavailable', `no time stamp from ${url}: ${reasonOf(cause)}`, {
      operation: 'request time stamp',
      thing: url,
      cause,
    });
  } finally {
    clearTimeout(timer);
  }
}

/** Throws `usage` for what is no http URL, or has a password in it: URLs are written to the chain. */
export function assertAuthorityUrl(text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url !== undefined && url.username === '' && url.password === '';
  if (isPlain && (url.protocol === 'http:' || url.protocol === 'https:')) return;
  throw new ImpoundError('usage', `--tsa takes an http:// or https:// URL without user name, not "${text}"`, {
    operation: 'read arguments',
    thing: text,
  });
}

/**
 * TimeStampReq in DER: a constant with two holes, since all its lengths are.
 * SEQUENCE { version 1, SEQUENCE { SEQUENCE { id-sha256, NULL }, OCTET STRING digest }, INTEGER nonce, certReq TRUE }
 */
function timestampQuery(bytes: Uint8Array, nonce: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from('3043020101', 'hex'),
    Buffer.from('3031300d06096086480165030402010500', 'hex'),
    Buffer.from('0420', 'hex'),
    hash('sha256', bytes, 'buffer'),
    Buffer.from('0208', 'hex'),
    nonce,
    Buffer.from('0101ff', 'hex'),
  ]);
}

/** Eight bytes, the first one neither zero nor negative: DER has no other way to write such an INTEGER. */
function randomNonce(): Buffer {
  const nonce = randomBytes(8);
  nonce.writeUInt8((nonce.readUInt8(0) & 0x3f) | 0x40, 0);
  return nonce;
}

async function exchange(url: string, body: Buffer, signal: AbortSignal): Promise<Buffer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/timestamp-query', accept: 'application/timestamp-reply' },
    body: new Uint8Array(body),
    // an answer from elsewhere is not what was asked for, and fetch would turn most redirected POSTs into GETs
    redirect: 'manual',
    signal,
  });
  try {
    if (response.status >= 300 && response.status < 400)
      throw new Error(
        `it points to ${response.headers.get('location')?.slice(0, 200) ?? 'another place'}: give that URL`,
      );
    if (response.status !== 200) throw new Error(`it answered with HTTP status ${response.status}`);
    return await readBounded(response);
  } finally {
    await response.body?.cancel().catch(() => undefined); // it may have failed, or been read to its end
  }
}

async function readBounded({ body }: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > MAX_TOKEN_BYTES) throw new Error(`its answer has more than ${MAX_TOKEN_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function checkAnswer(token: TimestampToken, asked: Uint8Array, nonce: Buffer): void {
  if (token.imprint.algorithm !== 'sha256' || !isOver(token, asked)) throw new Error('its token is over other bytes');
  if (token.nonce !== nonce.readBigUInt64BE()) throw new Error('its token answers another question (nonce)');
  assertSigned(token);
}

/** fetch says "fetch failed" and keeps the reason as its cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof TypeError ? (error.cause ?? error) : error;
  const text = describeError(cause);
  const errno = errnoOf(cause) ?? '';
  return (text.includes(errno) ? text : `${errno} ${text}`).slice(0, 300);
}
