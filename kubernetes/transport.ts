// Requests to the API server and the text of its answers: connections, time-outs, bounds.
import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { errnoOf } from '../evidence/index.ts';
import type { Access } from './access.ts';
import { apiError, refusal } from './refusal.ts';

const REQUEST_MILLISECONDS = 10_000;
/** A list of a large cluster's pods by pages has less. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** A watched object has at most what etcd takes (1.5 MiB), with room for what is added. */
const MAX_EVENT_BYTES = 4 * 1024 * 1024;

export interface Sent {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  readonly body?: object;
  readonly contentType?: string;
  /** "application/json" where absent. */
  readonly accept?: string;
  readonly signal?: AbortSignal;
  readonly milliseconds?: number;
}

export interface Transport {
  /** The answer's text; throws `refusal`'s error where it is not 2xx, anything else where there is none. */
  request(sent: Sent): Promise<string>;
  /** An answer without an end, by lines; `milliseconds` is how long it may be silent. `opened`: it has begun. */
  lines(sent: Sent, opened?: () => void): AsyncGenerator<string>;
  close(): void;
}

export function openTransport(access: Access): Transport {
  const agent = new Agent({ ...access.tls, keepAlive: true });

  const once = async (sent: Sent, patience: Patience): Promise<IncomingMessage> => {
    const url = urlOf(access.server, sent);
    const body = sent.body === undefined ? undefined : Buffer.from(JSON.stringify(sent.body));
    const type = sent.contentType ?? 'application/json';
    const headers = {
      accept: sent.accept ?? 'application/json',
      'user-agent': 'impound',
      ...(body === undefined ? {} : { 'content-type': type, 'content-length': body.length }),
      ...(await Promise.race([access.headers(), patience.over])),
    };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const outgoing = httpsRequest(url, { method: sent.method, headers, agent });
    outgoing.on('response', resolve).on('error', (error) => reject(outgoing.reusedSocket ? stale(error) : error));
    outgoing.end(body);
    try {
      return await Promise.race([promise, patience.over]);
    } catch (error) {
      outgoing.destroy();
      throw error;
    }
  };

  /** A kept connection may have been closed by the server at the moment it was taken: reading is tried on another. */
  const send = async (sent: Sent, patience: Patience): Promise<IncomingMessage> => {
    for (;;) {
      try {
        return await once(sent, patience);
      } catch (error) {
        if (!(error instanceof StaleConnection && sent.method === 'GET')) throw error;
      }
    }
  };

  return {
    async request(sent) {
      using patience = new Patience(sent.milliseconds ?? REQUEST_MILLISECONDS, sent.signal);
      const answer = await send(sent, patience);
      const text = await bodyOf(answer, sent, patience);
      if (!isSuccess(answer)) throw refusal(sent, answer.statusCode ?? 0, text);
      return text;
    },
    async *lines(sent, opened) {
      const { milliseconds = REQUEST_MILLISECONDS } = sent;
      using patience = new Patience(Math.min(milliseconds, REQUEST_MILLISECONDS), sent.signal);
      const answer = await send(sent, patience);
      if (!isSuccess(answer)) throw refusal(sent, answer.statusCode ?? 0, await bodyOf(answer, sent, patience));
      patience.push(milliseconds);
      opened?.();
      yield* linesOf(answer, sent, patience, milliseconds);
    },
    close: () => agent.destroy(),
  };
}

/** The server's own path stays in front; a name such as ".." or "" must not mean something else than an object. */
function urlOf(server: URL, sent: Sent): URL {
  const path = `${server.pathname.replace(/\/$/, '')}${sent.path}`;
  const url = new URL(server);
  url.pathname = path;
  if (url.pathname !== path || !sent.path.startsWith('/') || /\/(\/|$)/.test(sent.path))
    throw apiError('api-invalid', 'a name is empty, or has characters that no name of Kubernetes has', sent);
  for (const [name, value] of Object.entries(sent.query ?? {})) url.searchParams.set(name, String(value));
  return url;
}

class StaleConnection extends Error {}

function stale(error: Error): Error {
  return ['ECONNRESET', 'EPIPE'].includes(errnoOf(error) ?? '')
    ? Object.assign(new StaleConnection('a kept connection was closed', { cause: error }), { code: errnoOf(error) })
    : error;
}

function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode <= 299;
}

async function bodyOf(answer: IncomingMessage, sent: Sent, patience: Patience): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  using _ = patience.ends(answer);
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw tooLarge(sent, 'the answer', MAX_ANSWER_BYTES);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function* linesOf(
  answer: IncomingMessage,
  sent: Sent,
  patience: Patience,
  milliseconds: number,
): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  using _ = patience.ends(answer);
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    patience.push(milliseconds);
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
      if (end > 0) yield rest.toString('utf8', 0, end);
      rest = rest.subarray(end + 1);
    }
    if (rest.length > MAX_EVENT_BYTES) throw tooLarge(sent, 'an event', MAX_EVENT_BYTES);
  }
}

function tooLarge(sent: Sent, what: string, bytes: number): Error {
  return apiError('api-failed', `${what} to ${sent.method} ${sent.path} has more than ${bytes} bytes`, sent);
}

/** How long somebody waits: until the time is over, or their signal aborts. A socket's own time-out omits connecting. */
class Patience implements Disposable {
  /** Rejects when it is over. */
  readonly over: Promise<never>;
  readonly #end: (error: Error) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #give = (): void => this.#end(new Error('given up'));
  #timer: NodeJS.Timeout | undefined;

  constructor(milliseconds: number, signal: AbortSignal | undefined) {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => undefined); // whoever waits hears it; nobody need be waiting
    this.over = promise;
    this.#end = reject;
    this.#signal = signal;
    this.push(milliseconds);
    if (signal?.aborted) this.#give();
    signal?.addEventListener('abort', this.#give, { once: true });
  }

  /** It now ends after `milliseconds` from here. */
  push(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#end(silence(milliseconds)), milliseconds);
  }

  /** An answer that is being read breaks off when it is over. */
  ends(answer: IncomingMessage): Disposable {
    let reading = true;
    this.over.catch((error: Error) => reading && answer.destroy(error));
    return {
      [Symbol.dispose]: () => {
        reading = false;
      },
    };
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#give);
  }
}

function silence(milliseconds: number): Error {
  return Object.assign(new Error(`nothing for ${milliseconds / 1000} s`), { code: 'ETIMEDOUT' });
}
