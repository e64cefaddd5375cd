// One try of one agent at one capture: what it claims is bounded, what it says it stored is looked at, and what was seen
// goes on the chain in its name. Every call may come again.
import {
  type Actor,
  ChainBatch,
  type ChainWriter,
  describeError,
  ImpoundError,
  type UploadGrants,
} from '../../evidence/index.ts';
import type { AgentCall, CallResult, EndRequest } from '../../protocol/index.ts';
import type { AgentIdentity } from '../http/identity.ts';
import { Problem } from '../http/problem.ts';
import type { Claims } from './claims.ts';
import { assertAgentPath, refused } from './limits.ts';
import type { Refusals } from './refusals.ts';

export interface SessionOptions {
  readonly number: number;
  readonly nonce: string;
  readonly identity: AgentIdentity;
  readonly software: string;
  readonly collectors: readonly string[];
  readonly chain: ChainWriter;
  readonly grants: UploadGrants;
  readonly claims: Claims;
  readonly refusals: Refusals;
  /** Collectors of this session that the chain has seen end. */
  readonly ended: ReadonlySet<string>;
}

/** These are for the agent to know; anything else that goes wrong is a matter of the store, and is tried again later. */
const TOLD: ReadonlySet<string> = new Set(['grant-refused', 'object-exists', 'object-missing', 'path-invalid']);
/** The store says so of a list of parts that is not what it holds: the agent's mistake, or its lie. */
const TOLD_OF_PARTS: ReadonlySet<string> = new Set([...TOLD, 'store-failed']);

export class AgentSession {
  readonly #options: SessionOptions;
  readonly #batch: ChainBatch;
  readonly #ended: Set<string>;
  readonly #samples = new Set<string>();
  #end: EndRequest | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#ended = new Set(options.ended);
    this.#batch = new ChainBatch({ chain: options.chain, actor: actorOf(options) });
  }

  get number(): number {
    return this.#options.number;
  }

  get nonce(): string {
    return this.#options.nonce;
  }

  get identity(): AgentIdentity {
    return this.#options.identity;
  }

  /** How it ended, by its own word; undefined while it goes on. */
  get end(): EndRequest | undefined {
    return this.#end;
  }

  /** One result a call. Throws a Problem 503 where the store, or the chain in it, cannot be reached now. */
  async calls(calls: readonly AgentCall[]): Promise<readonly CallResult[]> {
    const results = await Promise.all(calls.map((call) => this.#answer(call)));
    if (calls.some(({ kind }) => kind === 'record' || kind === 'ended' || kind === 'clock')) await this.flush();
    return results;
  }

  /** All that was recorded is on the chain then. */
  async flush(): Promise<void> {
    try {
      await this.#batch.flush();
    } catch (error) {
      throw unavailable(error);
    }
  }

  async finish(end: EndRequest): Promise<void> {
    await this.flush();
    this.#end ??= end;
  }

  stop(): void {
    this.#batch.stop();
  }

  async #answer(call: AgentCall): Promise<CallResult> {
    try {
      return { ok: true, value: (await this.#do(call)) ?? null };
    } catch (error) {
      const told = call.kind === 'complete-upload' ? TOLD_OF_PARTS : TOLD;
      if (!(error instanceof ImpoundError) || !told.has(error.code)) throw unavailable(error);
      this.#options.refusals.add(error.code, error.message);
      return { ok: false, code: error.code, message: error.message.slice(0, 1000) };
    }
  }

  async #do(call: AgentCall): Promise<unknown> {
    const { grants, claims } = this.#options;
    switch (call.kind) {
      case 'grant-object':
        assertAgentPath(call.path);
        claims.object(call);
        return grants.grantObject(call);
      case 'begin-upload': {
        assertAgentPath(call.path);
        claims.upload(call.path);
        const upload = await grants.beginUpload(call.path);
        claims.begun(call.path, upload);
        return upload;
      }
      case 'grant-part':
        assertAgentPath(call.path);
        await this.#know(call);
        claims.part(call, call.upload, call.number);
        return grants.grantPart(call);
      case 'complete-upload': {
        assertAgentPath(call.path);
        const { path, upload, parts } = call;
        const names = await grants.completeUpload(path, upload, parts);
        claims.see(path, { size: sizeOf(parts), parts, ...names }, upload);
        return names;
      }
      case 'finished': {
        assertAgentPath(call.path);
        const names = await grants.finished(call, call.versionId);
        if (names !== undefined) claims.see(call.path, { size: call.size, sha256: call.sha256, ...names });
        return names;
      }
      case 'finished-part':
        assertAgentPath(call.path);
        return grants.finishedPart(call);
      case 'record':
        return this.#record(call.record);
      case 'ended':
        return this.#collectorEnded(call.end);
      case 'clock':
        return this.#clock(call.sample);
    }
  }

  /** An upload that was begun before this controller came is the store's to know. */
  async #know(call: Extract<AgentCall, { kind: 'grant-part' }>): Promise<void> {
    const { grants, claims } = this.#options;
    if (claims.knows(call.upload)) return;
    await grants.finishedPart(call); // throws object-missing where there is no such upload
    claims.begun(call.path, call.upload);
  }

  async #record(record: Extract<AgentCall, { kind: 'record' }>['record']): Promise<void> {
    const { claims, grants, collectors, number } = this.#options;
    const { path, size, sha256, parts } = record;
    assertAgentPath(path);
    if (record.session !== number) throw refused(path, `it is of session ${record.session}, this is ${number}`);
    if (!collectors.includes(record.collector)) throw refused(path, `"${record.collector}" was not announced`);
    let seen = claims.seen(path);
    if (seen === undefined) {
      const names =
        parts === undefined ? await grants.finished({ path, size, sha256 }) : await grants.finishedUpload(path, parts);
      if (names === undefined) throw missing(path);
      seen = { size, sha256, ...(parts === undefined ? {} : { parts }), ...names };
    }
    const sameParts = JSON.stringify(seen.parts) === JSON.stringify(parts);
    if (seen.size !== size || (seen.sha256 ?? sha256) !== sha256 || !sameParts)
      throw refused(path, 'the store holds other bytes');
    if (!claims.record(record)) return;
    await this.#batch.record(given({ ...record, ...seen, sha256 }));
  }

  #collectorEnded(end: Extract<AgentCall, { kind: 'ended' }>['end']): void {
    const { number, collectors } = this.#options;
    if (end.session !== number || !(collectors.includes(end.collector) || end.collector === 'shared'))
      throw refused(end.collector, 'this session did not announce such a collector');
    if (this.#ended.has(end.collector)) return;
    this.#ended.add(end.collector);
    this.#batch.ended({ ...end, gaps: end.gaps.map((gap) => given(gap)) });
  }

  /** The node's clocks, each reading once; an honest agent has a few of them. */
  #clock(sample: Extract<AgentCall, { kind: 'clock' }>['sample']): void {
    const text = JSON.stringify(sample);
    if (this.#samples.has(text) || this.#samples.size >= MAX_SAMPLES) return;
    this.#samples.add(text);
    this.#batch.clock(given(sample));
  }
}

const MAX_SAMPLES = 1000;

function actorOf({ identity, number }: SessionOptions): Actor {
  return { kind: 'agent', name: identity.username, node: identity.node, pod: identity.pod, session: number };
}

function sizeOf(parts: readonly { readonly size: number }[]): number {
  return parts.reduce((sum, { size }) => sum + size, 0);
}

/** Without the fields that are undefined. */
function given<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

function missing(path: string): ImpoundError {
  return new ImpoundError('object-missing', `${path} is not in the store`, { operation: 'record', thing: path });
}

function unavailable(error: unknown): unknown {
  if (error instanceof Problem) return error;
  if (!(error instanceof ImpoundError)) return error;
  if (error.code === 'bundle-sealed')
    return new Problem(409, 'conflict', 'the bundle is closed: nothing more goes into it');
  return new Problem(503, 'unavailable', `the store cannot take it now: ${describeError(error)}`);
}
