// Asks the API server: JSON in and out, each request with a time-out of its own, since a server that hangs says nothing.

import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { describeError, type ErrorCode, errnoOf, ImpoundError } from '../../evidence/index.ts';
import type { Access } from './access.ts';

const REQUEST_MILLISECONDS = 10_000;
/** A list of a large cluster's pods by pages has less. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** A watched object has at most what etcd takes (1.5 MiB), with room for what is added. */
const MAX_EVENT_BYTES = 4 * 1024 * 1024;
const PAGE = 500;

const PATCHES = {
  merge: 'application/merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

export interface Ask {
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  readonly signal?: AbortSignal;
  /** 10 s where absent. */
  readonly milliseconds?: number;
}

/** What every object has. */
export interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly {
    readonly apiVersion: string;
    readonly kind: string;
    readonly name: string;
    readonly uid: string;
    readonly controller?: boolean;
  }[];
}

export interface KubernetesObject {
  readonly metadata: Metadata;
}

export interface List<T> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly T[];
}

export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T;
}

/**
 * Paths begin with /api or /apis. All throw ImpoundError: api-denied (401, 403), api-missing (404), api-conflict (409),
 * api-expired (410), api-invalid (400, 413, 415, 422), api-failed (any other answer), api-unreachable (no answer), aborted.
 */
export interface Kubernetes {
  readonly server: string;
  get<T>(path: string, ask?: Ask): Promise<T>;
  create<T>(path: string, body: object, ask?: Ask): Promise<T>;
  replace<T>(path: string, body: object, ask?: Ask): Promise<T>;
  /** A `metadata.resourceVersion` in the patch makes it conditional. */
  patch<T>(path: string, kind: keyof typeof PATCHES, body: object, ask?: Ask): Promise<T>;
  remove(path: string, ask?: Ask): Promise<void>;
  /** All pages. */
  list<T>(path: string, ask?: Ask): Promise<List<T>>;
  /** Events until the server ends them, nothing came for `milliseconds` (it throws then), or `signal` aborts. */
  watch<T>(path: string, ask?: Ask): AsyncIterable<WatchEvent<T>>;
  close(): void;
}

interface Sent extends Ask {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
  readonly contentType?: string;
}

export function kubernetes(access: Access): Kubernetes {
  const agent = new Agent({ ...access.tls, keepAlive: true, scheduling: 'fifo' });
  const { server } = access;

  const send = async (sent: Sent): Promise<IncomingMessage> => {
    const url = new URL(sent.path, server);
    for (const [name, value] of Object.entries(sent.query ?? {})) url.searchParams.set(name, String(value));
    const body = sent.body === undefined ? undefined : Buffer.from(JSON.stringify(sent.body));
    const headers = {
      accept: 'application/json',
      ...(body === undefined
        ? {}
        : { 'content-type': sent.contentType ?? 'application/json', 'content-length': body.length }),
      ...(await access.headers()),
    };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const outgoing = httpsRequest(url, {
      method: sent.method,
      headers,
      agent,
      ...(sent.signal && { signal: sent.signal }),
    });
    const milliseconds = sent.milliseconds ?? REQUEST_MILLISECONDS;
    outgoing.setTimeout(milliseconds, () => outgoing.destroy(silence(milliseconds)));
    outgoing.on('response', resolve).on('error', reject).end(body);
    return promise;
  };

  const json = async <T>(sent: Sent): Promise<T> => {
    try {
      const answer = await send(sent);
      const text = (await bodyOf(answer)).toString();
      if (!isSuccess(answer)) throw refusal(sent, answer.statusCode ?? 0, text);
      return JSON.parse(text) as T;
    } catch (error) {
      throw failure(sent, error);
    }
  };

  return {
    server: server.href,
    get: (path, ask) => json({ ...ask, method: 'GET', path }),
    create: (path, body, ask) => json({ ...ask, method: 'POST', path, body }),
    replace: (path, body, ask) => json({ ...ask, method: 'PUT', path, body }),
    patch: (path, kind, body, ask) => json({ ...ask, method: 'PATCH', path, body, contentType: PATCHES[kind] }),
    remove: async (path, ask) => void (await json({ ...ask, method: 'DELETE', path })),
    async list<T>(path: string, ask: Ask = {}): Promise<List<T>> {
      const items: T[] = [];
      let next = '';
      for (;;) {
        const query = { limit: PAGE, ...ask.query, ...(next === '' ? {} : { continue: next }) };
        const page = await json<List<T>>({ ...ask, method: 'GET', path, query });
        items.push(...page.items);
        next = page.metadata.continue ?? '';
        if (next === '') return { ...page, items };
      }
    },
    async *watch<T>(path: string, ask: Ask = {}): AsyncIterable<WatchEvent<T>> {
      const sent = { ...ask, method: 'GET', path, query: { ...ask.query, watch: true } };
      try {
        const answer = await send(sent);
        if (!isSuccess(answer)) throw refusal(sent, answer.statusCode ?? 0, (await bodyOf(answer)).toString());
        for await (const line of linesOf(answer)) yield JSON.parse(line) as WatchEvent<T>;
      } catch (error) {
        throw failure(sent, error);
      }
    },
    close: () => agent.destroy(),
  };
}

function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode <= 299;
}

async function bodyOf(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error(`the answer has more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function* linesOf(answer: IncomingMessage): AsyncIterable<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
      if (end > 0) yield rest.toString('utf8', 0, end);
      rest = rest.subarray(end + 1);
    }
    if (rest.length > MAX_EVENT_BYTES) throw new Error(`an event has more than ${MAX_EVENT_BYTES} bytes`);
  }
}

/** Of an answer: https://kubernetes.io/docs/reference/using-api/api-concepts/ */
function refusal(sent: Sent, status: number, text: string): ImpoundError {
  let message = `HTTP ${status}`;
  try {
    const told = (JSON.parse(text) as { readonly message?: unknown }).message;
    if (typeof told === 'string') message = told.slice(0, 1000);
  } catch {
    // a proxy's answer, or none: the status has to do
  }
  return apiError(codeOf(status), `the API server refused ${sent.method} ${sent.path}: ${message}`, sent);
}

function codeOf(status: number): ErrorCode {
  if (status === 401 || status === 403) return 'api-denied';
  if (status === 404) return 'api-missing';
  if (status === 409) return 'api-conflict';
  if (status === 410) return 'api-expired';
  if ([400, 413, 415, 422].includes(status)) return 'api-invalid';
  return 'api-failed';
}

function failure(sent: Sent, error: unknown): ImpoundError {
  if (error instanceof ImpoundError) return error;
  if (sent.signal?.aborted) return apiError('aborted', `${sent.method} ${sent.path} was given up`, sent, error);
  if (error instanceof SyntaxError)
    return apiError('api-failed', `the API server's answer to ${sent.method} ${sent.path} is not JSON`, sent, error);
  const reason = errnoOf(error) ?? describeError(error);
  return apiError(
    'api-unreachable',
    `no answer from the API server to ${sent.method} ${sent.path}: ${reason}`,
    sent,
    error,
  );
}

function apiError(code: ErrorCode, message: string, { method, path }: Sent, cause?: unknown): ImpoundError {
  return new ImpoundError(code, message, { operation: method, thing: path, cause });
}

function silence(milliseconds: number): Error {
  return Object.assign(new Error(`nothing for ${milliseconds / 1000} s`), { code: 'ETIMEDOUT' });
}
