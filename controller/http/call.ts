// A request as a route sees it: its token, and its body read within bounds.
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { ImpoundError } from '../../evidence/index.ts';
import { Problem } from './problem.ts';
import type { Call } from './route.ts';
import type { Match } from './router.ts';

const JSON_BYTES = 64 * 1024;
/** For the whole of a body that is JSON; one that a route reads itself has the server's time-out for requests. */
const JSON_MILLISECONDS = 15_000;
const MAX_SHOWN_ISSUES = 5;
const MAX_SHOWN_CHARACTERS = 200;

export function makeCall(request: IncomingMessage, { params }: Match, signal: AbortSignal): Call {
  return {
    method: request.method ?? '',
    // not as a reference to be resolved: "//host/path" would be another host's
    url: new URL(`https://controller${request.url ?? '/'}`),
    params,
    token: bearerOf(request.headers.authorization),
    request,
    signal,
    async json(schema, limit = JSON_BYTES) {
      return read(schema, await jsonOf(request, limit, signal));
    },
  };
}

/** RFC 6750, 2.1. */
function bearerOf(header: string | undefined): string | undefined {
  return /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(header ?? '')?.[1];
}

async function jsonOf(request: IncomingMessage, limit: number, signal: AbortSignal): Promise<unknown> {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json')
    throw new Problem(415, 'request-invalid', 'send JSON, with "content-type: application/json"');
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
  const text = await textOf(request, limit, signal);
  try {
    return JSON.parse(text);
  } catch {
    throw new Problem(400, 'request-invalid', 'the body is not JSON');
  }
}

function textOf(request: IncomingMessage, limit: number, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (work: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', gone);
      request.off('data', take).off('end', done).off('error', gone).off('close', gone);
      request.pause();
      work();
    };
    const take = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > limit) settle(() => reject(tooLarge(limit)));
      else chunks.push(chunk);
    };
    const done = (): void =>
      settle(() => {
        try {
          resolve(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)));
        } catch {
          reject(new Problem(400, 'request-invalid', 'the body is not UTF-8'));
        }
      });
    const early = (): Error =>
      signal.aborted
        ? new ImpoundError('aborted', 'nobody waits for the answer any more', { operation: 'read body' })
        : new Problem(400, 'request-invalid', 'the body ended early');
    const gone = (): void => settle(() => reject(early()));
    const slow = (): void => settle(() => reject(new Problem(408, 'request-invalid', 'the body took too long')));
    const timer = setTimeout(slow, JSON_MILLISECONDS);
    signal.addEventListener('abort', gone);
    if (signal.aborted) gone();
    else request.on('data', take).on('end', done).on('error', gone).on('close', gone);
  });
}

function read<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { issues } = result.error;
  const shown = issues.slice(0, MAX_SHOWN_ISSUES).map(({ path, message }) => {
    const place = path.join('.').slice(0, MAX_SHOWN_CHARACTERS);
    return `${place === '' ? 'the body' : place}: ${message.slice(0, MAX_SHOWN_CHARACTERS)}`;
  });
  throw new Problem(400, 'request-invalid', shown.join('; '));
}

function tooLarge(limit: number): Problem {
  return new Problem(413, 'too-large', `the body may have ${limit} bytes`);
}
