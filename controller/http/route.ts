// What the HTTP server asks of whoever answers: a route is a method, a path and a function from a call to a reply.
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';

/** One request, as a route sees it. Each reader of the body throws a Problem where it is too large or not what it should be. */
export interface Call {
  readonly method: string;
  readonly url: URL;
  /** What stood for "{name}" in the route's path, percent-decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** The bearer token; undefined where there is none. */
  readonly token: string | undefined;
  readonly request: IncomingMessage;
  /** Aborts when who asked is gone, or the server stops. */
  readonly signal: AbortSignal;
  /** The whole body, at most `limit` bytes (64 KiB where absent), as this schema reads it. */
  json<S extends z.ZodType>(schema: S, limit?: number): Promise<z.output<S>>;
}

export interface Reply {
  /** 200 where absent. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it comes; `headers` have its content-type and, where known, its content-length. */
  readonly stream?: AsyncIterable<Uint8Array>;
}

/** Of bytes that are there already. */
export function wholeReply(text: string, headers: Readonly<Record<string, string>>, status = 200): Reply {
  const bytes = Buffer.from(text);
  return { status, headers: { ...headers, 'content-length': String(bytes.length) }, stream: once(bytes) };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** "/v1/captures/{name}"; a last "{path...}" takes the rest, "/" included. */
  readonly path: string;
  /** What it is for, for metrics and documentation. */
  readonly name: string;
  handle(call: Call): Promise<Reply>;
}
