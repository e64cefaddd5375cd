// Sends what a route replied: JSON, a stream as fast as it is read at the other end, or a problem (RFC 9457).
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import { ImpoundError, unlessAborted } from '../../evidence/index.ts';
import { Problem } from './problem.ts';
import type { Reply } from './route.ts';

/** A client that takes nothing for so long holds a store's connection for nothing. */
export const STALL_MILLISECONDS = 60_000;
/** What is left of a body that nobody wants is read for so long, so that the client sees the answer and not a reset. */
const LINGER_MILLISECONDS = 2000;
/** More than the largest body that a route takes. */
const LINGER_BYTES = 16 * 1024 * 1024;
const RETRY_SECONDS = 2;

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborts when the client is gone. */
  readonly gone: AbortSignal;
}

/** Resolves when all is sent. Throws where the stream fails: before anything is sent, or after the connection was ended. */
export async function sendReply(
  exchange: Exchange,
  { status = 200, headers = {}, json, stream }: Reply,
): Promise<void> {
  if (stream !== undefined) return sendStream(exchange, status, headers, stream);
  const body = json === undefined ? Buffer.alloc(0) : Buffer.from(`${JSON.stringify(json)}\n`);
  const type = json === undefined ? {} : { 'content-type': 'application/json' };
  return sendWhole(exchange, status, { ...type, ...headers }, body);
}

/** `more.retryAfter` are seconds, and stand in the header only. */
export function sendProblem(exchange: Exchange, { status, problem, message, more }: Problem): Promise<void> {
  const { retryAfter = RETRY_SECONDS, allow, ...members } = more;
  const headers = {
    'content-type': 'application/problem+json',
    ...(status === 401 ? { 'www-authenticate': 'Bearer realm="impound"' } : {}),
    ...(status === 405 ? { allow: String(allow) } : {}),
    ...(status === 416 && 'size' in members ? { 'content-range': `bytes */${members.size}` } : {}),
    ...(status === 429 || status === 503 ? { 'retry-after': String(retryAfter) } : {}),
  };
  const body = {
    ...members,
    type: `https://impound.dev/problems/${problem}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: message,
    code: problem,
  };
  return sendWhole(exchange, status, headers, Buffer.from(`${JSON.stringify(body)}\n`));
}

/** What is told of an error of any kind; nothing of one that nobody foresaw. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const code = error instanceof ImpoundError ? error.code : undefined;
  if (code === 'api-unreachable' || code === 'api-failed')
    return new Problem(503, 'unavailable', 'the API server does not answer: try again');
  if (code === 'object-missing') return new Problem(404, 'not-found', 'the store has no such object');
  if (code?.startsWith('store-'))
    return new Problem(503, 'unavailable', "the store does not give it: try again, and see the controller's log");
  return new Problem(500, 'internal', 'the controller failed; its log says why');
}

async function sendWhole(
  { request, response }: Exchange,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Buffer,
): Promise<void> {
  if (response.destroyed || response.headersSent) return;
  const unread = isUnread(request);
  const length = status === 204 || status === 304 ? {} : { 'content-length': String(body.length) };
  const closing = unread ? { connection: 'close' } : {};
  response.writeHead(status, { ...COMMON, ...length, ...closing, ...headers });
  if (!unread) {
    response.end(body);
    return;
  }
  response.write(body);
  await linger(request);
  response.end();
}

const COMMON = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;

async function sendStream(
  { request, response, gone }: Exchange,
  status: number,
  headers: Readonly<Record<string, string>>,
  stream: AsyncIterable<Uint8Array>,
): Promise<void> {
  const iterator = stream[Symbol.asyncIterator]();
  const expected = headers['content-length'] === undefined ? undefined : Number(headers['content-length']);
  let sent = 0;
  try {
    // what fails before its first byte can still be told as a problem
    let next = await unlessGone(gone, iterator.next());
    if (isUnread(request)) response.shouldKeepAlive = false;
    response.writeHead(status, { ...COMMON, ...headers });
    for (; next.done !== true; next = await unlessGone(gone, iterator.next())) {
      sent += next.value.length;
      if (expected !== undefined && sent > expected) throw new Error('the stream has more bytes than were announced');
      if (!response.write(next.value)) await drained(response, gone);
    }
    if (expected !== undefined && sent < expected) throw new Error('the stream ended before its announced length');
    response.end();
  } catch (error) {
    // an end without all of it must not look like one with
    if (response.headersSent) response.destroy();
    throw error;
  } finally {
    // not waited for: it comes back when what it waits for does
    Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

const GONE = 'the client is gone';

function unlessGone<T>(gone: AbortSignal, work: Promise<T>): Promise<T> {
  return unlessAborted(work, gone, () => {
    throw new ImpoundError('aborted', GONE, { operation: 'answer' });
  });
}

async function drained(response: ServerResponse, gone: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stalled = new ImpoundError('aborted', 'the client takes nothing', { operation: 'answer' });
  const timer = setTimeout(() => reject(stalled), STALL_MILLISECONDS);
  response.once('drain', resolve);
  try {
    await unlessGone(gone, promise);
  } finally {
    clearTimeout(timer);
    response.off('drain', resolve);
  }
}

function isUnread(request: IncomingMessage): boolean {
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = request.headers;
  return !request.complete && (encoding !== undefined || length !== '0');
}

async function linger(request: IncomingMessage): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let left = LINGER_BYTES;
  const take = (chunk: Buffer): void => {
    left -= chunk.length;
    if (left < 0) resolve();
  };
  const timer = setTimeout(resolve, LINGER_MILLISECONDS);
  request.on('data', take).on('end', resolve).on('close', resolve).on('error', resolve).resume();
  await promise;
  clearTimeout(timer);
  request.off('data', take).off('end', resolve).off('close', resolve).pause();
}
