// Sends one granted PUT: bytes of a known length, never chunked, over connections that are kept.
import { X509Certificate } from 'node:crypto';
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { ImpoundError } from '../../errors.ts';
import type { Grant } from './grants.ts';

/** Requests at once. */
const REQUESTS = 16;
/** Without a byte either way. */
const SILENCE_MILLISECONDS = 30_000;
/** From this size on the server is asked first whether it takes the body. */
const ASK_BYTES = 1024 * 1024;
/** Servers that do not know the question leave it unanswered: RFC 9110, 10.1.1. */
const ASK_MILLISECONDS = 1000;
/** Written at once: between two of them an early answer is heard. */
const SLICE_BYTES = 256 * 1024;
/** More of an answer is not read: a refusal of S3 has some 500. */
const ANSWER_BYTES = 64 * 1024;

export interface Connections {
  /**
   * The version that the store made, where it says one. The URL is asked for when it can be used at once. Throws what
   * `granted` throws, a `Refusal`, or what broke the connection.
   */
  put(granted: () => Promise<Grant>, bytes: Uint8Array): Promise<string | undefined>;
  close(): void;
}

/** An answer that was none of success, in the SDK's terms: `name` is S3's code. */
export interface Refusal extends Error {
  readonly $metadata: { readonly httpStatusCode: number };
}

export interface ConnectionOptions {
  /** PEM, trusted beside what Node trusts. */
  readonly ca: string | undefined;
  /** Ends every request. */
  readonly signal: AbortSignal | undefined;
}

interface Way {
  readonly http: HttpAgent;
  readonly https: () => HttpsAgent;
  readonly signal: AbortSignal | undefined;
}

/** Throws `certificate-unreadable`. */
export function connections({ ca, signal }: ConnectionOptions): Connections {
  if (ca !== undefined) assertCertificate(ca);
  const http = new HttpAgent({ keepAlive: true });
  let https: HttpsAgent | undefined;
  // made once, and where it is needed: some 150 authorities are parsed for it
  const trusting = (): HttpsAgent =>
    new HttpsAgent({ keepAlive: true, ...(ca === undefined ? {} : { secureContext: trustingToo(ca) }) });
  const way: Way = { http, https: () => (https ??= trusting()), signal };
  const waiting: (() => void)[] = [];
  let free = REQUESTS;
  return {
    async put(granted, bytes) {
      if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
      else free--;
      try {
        signal?.throwIfAborted();
        return await put(await granted(), bytes, way);
      } finally {
        const next = waiting.shift();
        if (next === undefined) free++;
        else next();
      }
    },
    close() {
      http.destroy();
      https?.destroy();
    },
  };
}

function trustingToo(ca: string): SecureContext {
  return createSecureContext({ ca: [...getCACertificates('default'), ca] });
}

/** Node itself would pass over what is no certificate. */
function assertCertificate(ca: string): void {
  try {
    new X509Certificate(ca);
  } catch (error) {
    const message = 'the authority to be trusted is no certificate: give it as PEM';
    throw new ImpoundError('certificate-unreadable', message, { operation: 'read certificate', cause: error });
  }
}

async function put(
  { url: text, headers: signed }: Grant,
  bytes: Uint8Array,
  { http, https, signal }: Way,
): Promise<string | undefined> {
  const url = new URL(text);
  const length = signed['content-length'];
  if (Number(length) !== bytes.length)
    throw new Error(`the URL is granted for ${length} bytes, there are ${bytes.length}`);
  const asking = bytes.length >= ASK_BYTES;
  const headers = { ...signed, ...(asking ? { expect: '100-continue' } : {}) };
  const options = { method: 'PUT', headers, ...(signal === undefined ? {} : { signal }) };
  const outgoing =
    url.protocol === 'https:'
      ? httpsRequest(url, { ...options, agent: https() })
      : httpRequest(url, { ...options, agent: http });
  return exchange(outgoing, bytes, asking);
}

async function exchange(outgoing: ClientRequest, bytes: Uint8Array, asking: boolean): Promise<string | undefined> {
  outgoing.setTimeout(SILENCE_MILLISECONDS, () => outgoing.destroy(silence()));
  const answered = Promise.withResolvers<IncomingMessage>();
  answered.promise.catch(() => undefined); // met below
  outgoing.on('response', answered.resolve);
  outgoing.on('error', answered.reject);
  outgoing.on('close', () => answered.reject(new Error('socket hang up')));
  const begun = asking ? await mayBegin(outgoing, answered.promise) : true;
  const sent = begun && (await sendBody(outgoing, bytes, answered.promise));
  const reply = await answered.promise;
  const status = reply.statusCode ?? 0;
  const text = await textOf(reply);
  // what is left of the body is for nobody: the next request needs a connection of its own
  if (!sent) outgoing.destroy();
  if (status < 200 || status > 299) throw refusal(status, text);
  const version = reply.headers['x-amz-version-id'];
  return typeof version === 'string' && version !== 'null' ? version : undefined;
}

/** False where the server has answered instead. */
async function mayBegin(outgoing: ClientRequest, answered: Promise<IncomingMessage>): Promise<boolean> {
  const timer = new AbortController();
  const continued = new Promise<boolean>((resolve) => outgoing.once('continue', () => resolve(true)));
  const waited = sleep(ASK_MILLISECONDS, true, { signal: timer.signal }).catch(() => true);
  try {
    outgoing.flushHeaders();
    return await Promise.race([continued, waited, answered.then(() => false)]);
  } finally {
    timer.abort();
  }
}

/** False where the server answered before it had all of it. */
async function sendBody(
  outgoing: ClientRequest,
  bytes: Uint8Array,
  answered: Promise<IncomingMessage>,
): Promise<boolean> {
  const early = answered.then(() => false);
  early.catch(() => undefined); // it may fail before it is looked at
  for (let start = 0; start < bytes.length; start += SLICE_BYTES) {
    await turn(); // what came meanwhile is heard before a write that may fail
    if (!(await Promise.race([early, written(outgoing, bytes.subarray(start, start + SLICE_BYTES))]))) return false;
  }
  outgoing.end();
  return true;
}

function written(outgoing: ClientRequest, bytes: Uint8Array): Promise<boolean> {
  // the reason of a failure is the request's own error
  return new Promise((resolve) => outgoing.write(bytes, (error) => resolve(error === null || error === undefined)));
}

/** A connection that breaks here has given its status already. */
async function textOf(reply: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of reply as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > ANSWER_BYTES) break;
    }
  } catch {
    // what came of it is enough
  }
  return Buffer.concat(chunks).toString().slice(0, ANSWER_BYTES);
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
function refusal(status: number, text: string): Refusal {
  const name = /<Code>([A-Za-z0-9.]{1,100})<\/Code>/.exec(text)?.[1] ?? `HTTP ${status}`;
  const message = /<Message>([^<]{1,300})/.exec(text)?.[1] ?? '';
  return Object.assign(new Error(message), { name, $metadata: { httpStatusCode: status } });
}

function silence(): Error {
  return Object.assign(new Error(`no byte for ${SILENCE_MILLISECONDS / 1000} s`), { code: 'ETIMEDOUT' });
}
