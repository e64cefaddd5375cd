// Asks the controller's API for people (docs/api.md): one request, its time-outs, and what a refusal means.
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { certificateCode, describeError, type ErrorCode, errnoOf, ImpoundError } from '../../evidence/index.ts';
import type { Target } from './controller-target.ts';

/** Nothing came for so long, or went. */
const IDLE_MILLISECONDS = 60_000;
const MAX_PROBLEM_BYTES = 64 * 1024;
const MAX_REPLY_BYTES = 1024 * 1024;
/** While another replica takes over, or too much is read at once. */
const PATIENCE_MILLISECONDS = 30_000;
const MAX_PAUSE_SECONDS = 5;
const MAX_HOPS = 3;
/** Of a connection that fails. */
const TRIES = 3;
const RETRY_MILLISECONDS = 500;

export interface Asked {
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Makes it a POST. */
  readonly json?: object;
}

export interface ControllerClient {
  /**
   * A successful answer, whose body the caller reads or destroys; what only the leader takes is brought to it. Throws as
   * `problemError` says.
   */
  ask(asked: Asked): Promise<IncomingMessage>;
  /** The whole answer as JSON, of at most `limit` bytes (1 MiB where absent). */
  json(asked: Asked, limit?: number): Promise<unknown>;
  close(): void;
}

/** `authorization` is asked for each time, since a token is changed for another before it ends. */
export function controllerClient(first: Target, authorization: () => Promise<string>): ControllerClient {
  let target = first;
  const targets = new Set([first]);

  const once = async ({ path, headers, json }: Asked): Promise<IncomingMessage> => {
    const body = json === undefined ? undefined : Buffer.from(JSON.stringify(json));
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const sent = request(`${target.url}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      agent: target.agent,
      timeout: IDLE_MILLISECONDS,
      headers: {
        authorization: await authorization(),
        'user-agent': 'impound',
        ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length }),
        ...headers,
      },
    });
    sent.on('timeout', () => sent.destroy(new Error(`it was silent for ${IDLE_MILLISECONDS / 1000} s`)));
    sent.on('response', resolve).on('error', reject);
    sent.end(body);
    try {
      return await promise;
    } catch (cause) {
      throw unreachable(target.url, cause);
    }
  };

  const ask = async (asked: Asked): Promise<IncomingMessage> => {
    const until = performance.now() + PATIENCE_MILLISECONDS;
    let failures = 0;
    for (let hops = 0; ; ) {
      const answer = await once(asked).catch((error: unknown) => {
        // what writes is tried again only where nobody was there to take it
        if ((asked.json !== undefined && !isUnconnected(error)) || ++failures >= TRIES) throw error;
      });
      if (answer === undefined) {
        await sleep(RETRY_MILLISECONDS);
        continue;
      }
      const { statusCode: status = 0 } = answer;
      if (status >= 200 && status <= 299) return answer;
      const problem = await problemOf(answer);
      if (problem.leader !== undefined && hops++ < MAX_HOPS) {
        target = await target.leader(problem.leader);
        targets.add(target);
      } else if ((status === 429 || status === 503) && performance.now() < until) {
        const seconds = Number(answer.headers['retry-after'] ?? 1);
        await sleep(Math.min(MAX_PAUSE_SECONDS, Number.isFinite(seconds) ? seconds : 1) * 1000);
      } else throw problemError(problem, status, asked.path);
    }
  };

  return {
    ask,
    async json(asked, limit = MAX_REPLY_BYTES) {
      const text = await textOf(await ask(asked), limit);
      if (text === undefined) throw unreachable('its answer', new Error(`it has more than ${limit} bytes`));
      return JSON.parse(text);
    },
    close() {
      for (const { agent } of targets) agent.destroy();
    },
  };
}

interface ProblemBody {
  readonly detail: string;
  readonly code: string;
  /** URL of the replica that leads. */
  readonly leader?: string;
}

async function problemOf(answer: IncomingMessage): Promise<ProblemBody> {
  const text = (await textOf(answer, MAX_PROBLEM_BYTES)) ?? '';
  const otherwise = { detail: `HTTP ${answer.statusCode}`, code: '' };
  try {
    const { detail, code, leader } = JSON.parse(text) as Partial<Record<keyof ProblemBody, unknown>>;
    if (typeof detail !== 'string' || typeof code !== 'string') return otherwise;
    const isLeader = code === 'not-leader' && typeof leader === 'string' && URL.canParse(leader);
    return { detail, code, ...(isLeader && leader.startsWith('https://') ? { leader } : {}) };
  } catch {
    return otherwise; // of something that stands before the controller
  }
}

/** Undefined where it is longer. */
async function textOf(answer: IncomingMessage, limit: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) return undefined; // ends the connection
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  unauthenticated: 'controller-denied',
  forbidden: 'controller-denied',
  'access-unrecorded': 'controller-denied',
  'not-found': 'object-missing',
  conflict: 'chain-broken',
  unavailable: 'controller-unreachable',
};

/** controller-denied, object-missing, chain-broken, controller-unreachable, controller-refused. */
function problemError({ detail, code }: ProblemBody, status: number, path: string): ImpoundError {
  const known = CODES[code] ?? (status === 404 ? 'object-missing' : 'controller-refused');
  const hint =
    code === 'unauthenticated'
      ? '; the controller asked the API server, which does not know your token for its own audience'
      : '';
  return new ImpoundError(known, `the controller: ${detail}${hint}`, { operation: 'ask controller', thing: path });
}

function isUnconnected(error: unknown): boolean {
  if (!(error instanceof ImpoundError)) return false;
  return error.code === 'api-unreachable' || errnoOf(error.cause) === 'ECONNREFUSED';
}

export function unreachable(url: string, cause: unknown): ImpoundError {
  if (cause instanceof ImpoundError) return cause;
  const reason = describeError(cause) || errnoOf(cause) || 'no reason';
  const certificate =
    certificateCode(cause) === undefined ? '' : '; is --controller-ca the authority of its certificate?';
  const message = `the controller at ${url} cannot be reached: ${reason}${certificate}`;
  return new ImpoundError('controller-unreachable', message, { operation: 'ask controller', thing: url, cause });
}
