// Speaks to the controller: who leads is found by asking, an answer that is lost is asked for again, and what comes is
// checked before it is believed.
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { createSecureContext, type SecureContext } from 'node:tls';
import { describeError, type Logger, type Patience, retrying } from '../../evidence/index.ts';
import {
  type AgentCall,
  type CallResult,
  type CaptureOrder,
  callsReply,
  type EndRequest,
  POLL_SECONDS,
  PROTOCOL_VERSIONS,
  type ProbedRequest,
  type ProbeOrder,
  pollReply,
  type SessionRequest,
  sessionReply,
} from '../../protocol/index.ts';
import { failure, isHopeful, linkError, needsAPerson, Refused } from './failure.ts';
import { trouble } from './trouble.ts';

const SILENCE_MILLISECONDS = 15_000;
/** A poll that nobody answers in its time is as good as dead. */
const POLL_MILLISECONDS = (POLL_SECONDS + 10) * 1000;
/** For how long a capture waits for a controller that is away; another replica takes over in a fraction of it. */
const PATIENCE = { milliseconds: 600_000, pauseMilliseconds: 2000 };
/** Somebody waits for what became of a probe, and then no longer. */
const PROBE_PATIENCE = { milliseconds: 10_000 };
/** And one that is to end itself: its pod has a minute, and the next one waits for that. */
const FAREWELL_MILLISECONDS = 20_000;
/** Where only a person can help. */
const HOPELESS_MILLISECONDS = 2000;
/** Files that others change are looked at again after this. */
const KEPT_MILLISECONDS = 10_000;
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
/** Of a chain of replicas that each name another. */
const MAX_REDIRECTS = 3;

export interface LinkOptions {
  /** Of the service: https://impound-controller.impound-system.svc:8443 */
  readonly url: string;
  /** PEM file of the authority that the controller's certificate is of. */
  readonly ca: string;
  /** File of the projected token, which the kubelet changes for a newer one. */
  readonly token: string;
  readonly software: string;
  readonly log: Logger;
  /** When it aborts, the agent is to end. */
  readonly signal?: AbortSignal;
  /** Of this machine's addresses the one to speak from; the system chooses where absent. */
  readonly localAddress?: string;
  /** Told of a probe that came with a poll's answer; where it is absent, the controller sends none. */
  readonly probe?: (order: ProbeOrder) => void;
}

/**
 * All throw ImpoundError: `capture-over` where the controller wants no more of it, `controller-denied`,
 * `controller-refused`, `controller-unreachable`, `controller-untrusted`, `aborted`.
 */
export interface Link {
  /** Undefined where there is nothing to do yet. One try: whoever polls waits and asks again. */
  poll(signal: AbortSignal): Promise<CaptureOrder | undefined>;
  probed(id: string, request: ProbedRequest): Promise<void>;
  begin(uid: string, request: SessionRequest): Promise<number>;
  calls(uid: string, session: number, calls: readonly AgentCall[]): Promise<Answered>;
  end(uid: string, request: EndRequest): Promise<void>;
  close(): void;
}

export interface Answered {
  readonly results: readonly CallResult[];
  /** Why collecting is to end. */
  readonly stop: string | undefined;
}

export async function openLink(options: LinkOptions): Promise<Link> {
  const { url, ca, token, software, log, localAddress, probe } = options;
  const service = new URL(url);
  const [authority, bearer] = [keptFile(ca), keptFile(token)];
  await authority.text().catch((cause: unknown) => {
    const message = `cannot read the controller's authority ${ca}: ${describeError(cause)}`;
    throw linkError('controller-refused', message, cause);
  });
  const trusted = trusting(authority);
  const agent = new Agent({ keepAlive: true, maxSockets: 16, ...(localAddress === undefined ? {} : { localAddress }) });
  const troubled = trouble({ url: service, ca, log });
  /** The replica that leads, as far as it is known; else whichever the service leads to. */
  let leader: URL | undefined;

  const ask = async (path: string, body: object, milliseconds: number, signal?: AbortSignal): Promise<unknown> => {
    for (let redirects = 0; ; redirects++) {
      const base = leader ?? service;
      try {
        const answer = await send({ base, path, body, milliseconds, signal });
        troubled.over();
        return answer;
      } catch (error) {
        if (error instanceof Refused && error.status === 401) bearer.forget(); // it may have been changed just now
        const named = error instanceof Refused && error.status === 421 ? error.leader : undefined;
        if (named === undefined || redirects >= MAX_REDIRECTS) {
          leader = undefined;
          if (signal?.aborted !== true && isHopeful(error)) troubled.met(error, base);
          throw error;
        }
        leader = new URL(named);
        log.debug('another replica leads', { leader: named });
      }
    }
  };
  const send = async (sent: Sent): Promise<unknown> => {
    const bytes = Buffer.from(JSON.stringify(sent.body));
    const headers = {
      authorization: `Bearer ${(await bearer.text()).trim()}`,
      'content-type': 'application/json',
      'content-length': bytes.length,
      'user-agent': software,
    };
    const answered = Promise.withResolvers<IncomingMessage>();
    const outgoing = httpsRequest(new URL(sent.path, sent.base), {
      method: 'POST',
      headers,
      agent,
      ...(await trusted()),
      // also while it connects
      timeout: sent.milliseconds,
      // a replica is asked by its address; its certificate has the service's name
      servername: service.hostname,
      ...(sent.signal === undefined ? {} : { signal: sent.signal }),
    });
    outgoing.on('timeout', () => outgoing.destroy(silence(sent.milliseconds)));
    outgoing.on('response', answered.resolve).on('error', answered.reject).end(bytes);
    return replyOf(await answered.promise);
  };
  /** Who is to end does not wait as long as who is not. */
  let endsAt: number | undefined;
  options.signal?.addEventListener('abort', () => (endsAt = performance.now()), { once: true });
  const isWorth = (error: unknown): boolean => {
    const left = needsAPerson(error) ? HOPELESS_MILLISECONDS : FAREWELL_MILLISECONDS;
    return isHopeful(error) && (endsAt === undefined || performance.now() - endsAt < left);
  };
  /** Again and again as long as there is hope. */
  const insist = async (path: string, body: object, patience: Patience = PATIENCE): Promise<unknown> => {
    try {
      return await retrying(() => ask(path, body, SILENCE_MILLISECONDS), isWorth, patience);
    } catch (error) {
      throw failure(error);
    }
  };
  const pathOf = (uid: string, verb: string): string => `/agent/v1/captures/${encodeURIComponent(uid)}/${verb}`;

  return {
    async poll(signal) {
      try {
        const can = probe === undefined ? [] : ['probe'];
        const body = { versions: PROTOCOL_VERSIONS, software, can, utc: new Date().toISOString() };
        const reply = pollReply.parse(await ask('/agent/v1/poll', body, POLL_MILLISECONDS, signal));
        if (reply.probe) probe?.(reply.probe);
        return reply.capture ?? undefined;
      } catch (error) {
        throw failure(error);
      }
    },
    async probed(id, request) {
      await insist(`/agent/v1/probes/${id}`, request, PROBE_PATIENCE);
    },
    async begin(uid, request) {
      return sessionReply.parse(await insist(pathOf(uid, 'session'), request)).session;
    },
    async calls(uid, session, calls) {
      const { results, stop } = callsReply.parse(await insist(pathOf(uid, 'calls'), { session, calls }));
      if (results.length !== calls.length)
        throw linkError('controller-refused', `${results.length} answers came to ${calls.length} calls`);
      return { results, stop: stop ?? undefined };
    },
    async end(uid, request) {
      await insist(pathOf(uid, 'end'), request);
    },
    close: () => agent.destroy(),
  };
}

interface KeptFile {
  /** Throws where it cannot be read, and never could. */
  text(): Promise<string>;
  /** The next one reads it. */
  forget(): void;
}

/** Read again from time to time; one that is being changed for another is what it was until then. */
function keptFile(file: string): KeptFile {
  let known: string | undefined;
  let at = Number.NEGATIVE_INFINITY;
  return {
    async text() {
      if (known !== undefined && performance.now() - at < KEPT_MILLISECONDS) return known;
      try {
        known = await readFile(file, 'utf8');
      } catch (error) {
        if (known === undefined) throw error;
      }
      at = performance.now();
      return known;
    },
    forget() {
      at = Number.NEGATIVE_INFINITY;
    },
  };
}

/** What a connection is made with: parsed once, since an agent may make dozens. */
function trusting(authority: KeptFile): () => Promise<{ readonly ca: string; readonly secureContext: SecureContext }> {
  let known: { readonly ca: string; readonly secureContext: SecureContext } | undefined;
  return async () => {
    const ca = await authority.text();
    if (known?.ca !== ca) known = { ca, secureContext: createSecureContext({ ca }) };
    return known;
  };
}

interface Sent {
  readonly base: URL;
  readonly path: string;
  readonly body: object;
  readonly milliseconds: number;
  readonly signal: AbortSignal | undefined;
}

async function replyOf(answer: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error(`the controller's answer has more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  const { statusCode = 0 } = answer;
  if (statusCode >= 200 && statusCode <= 299) return JSON.parse(text);
  let told: { readonly detail?: unknown; readonly leader?: unknown; readonly code?: unknown } = {};
  try {
    told = JSON.parse(text) as typeof told;
  } catch {
    // not the controller's own words: the status has to do
  }
  const detail = typeof told.detail === 'string' ? told.detail.slice(0, 500) : `HTTP ${statusCode}`;
  const leader = typeof told.leader === 'string' && URL.canParse(told.leader) ? told.leader : undefined;
  const problem = typeof told.code === 'string' ? told.code : undefined;
  throw new Refused(statusCode, detail, { problem, leader });
}

function silence(milliseconds: number): Error {
  return Object.assign(new Error(`nothing for ${milliseconds / 1000} s`), { code: 'ETIMEDOUT' });
}
