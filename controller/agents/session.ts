// One try of one agent at one capture: what it claims is bounded, what it says it stored is looked at, and what was seen
// goes on the chain in its name. Every call may come again.
import { type Actor, type ChainWriter, gate, ImpoundError, type UploadGrants } from '../../evidence/index.ts';
import type { AgentCall, CallResult, EndRequest, NodeCapture } from '../../protocol/index.ts';
import type { AgentIdentity } from '../http/identity.ts';
import type { Turns } from '../turns.ts';
import type { Claims } from './claims.ts';
import { assertAgentPath, refused } from './limits.ts';
import { Outbox } from './outbox.ts';
import type { Refusals } from './refusals.ts';
import { unavailable } from './unavailable.ts';

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
  readonly capture: NodeCapture;
  /** Of all captures. */
  readonly turns: Turns;
  /** Collectors of this session that the chain has seen end. */
  readonly ended: ReadonlySet<string>;
}

/** Of all requests: each may ask the store. */
const CALLS_AT_ONCE = 32;
/** That go before other captures': what an agent asks for its first artefacts, each alone. Others have no more of them. */
const FIRST_CALLS = 8;
/** An entry names each artefact's path and digest once more. */
const SUBJECT_BYTES = 120;

/** These are for the agent to know; anything else that goes wrong is a matter of the store, and is tried again later. */
const TOLD: ReadonlySet<string> = new Set(['grant-refused', 'object-exists', 'object-missing', 'path-invalid']);
/** The store says so of a list of parts that is not what it holds: the agent's mistake, or its lie. */
const TOLD_OF_PARTS: ReadonlySet<string> = new Set([...TOLD, 'store-failed']);

export class AgentSession {
  readonly #options: SessionOptions;
  readonly #outbox: Outbox;
  readonly #ended: Set<string>;
  readonly #samples = new Set<string>();
  /** A node that asks without end has its turns, and other captures have theirs. */
  readonly #gate = gate(CALLS_AT_ONCE);
  #end: EndRequest | undefined;
  /** Something of it is in the store. */
  #hasFirst = false;
  /** Calls that went before other captures'. */
  #led = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#ended = new Set(options.ended);
    this.#outbox = new Outbox(options.chain, actorOf(options));
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
  calls(calls: readonly AgentCall[]): Promise<readonly CallResult[]> {
    return this.#options.claims.during(this.#calls(calls));
  }

  async #calls(calls: readonly AgentCall[]): Promise<readonly CallResult[]> {
    const results: CallResult[] = [];
    const failures: unknown[] = [];
    // of one request all or none: it is answered as a whole
    const leads = !this.#hasFirst && this.#led + calls.length <= FIRST_CALLS;
    if (leads) this.#led += calls.length;
    const answer = async (call: AgentCall, index: number): Promise<void> => {
      try {
        if (failures.length === 0) results[index] = await this.#inTurn(call, leads);
      } catch (error) {
        failures.push(error); // thrown when nothing is under way any more
      }
    };
    await Promise.all(calls.map((call, index) => this.#gate(() => answer(call, index))));
    if (failures.length > 0) throw failures[0];
    if (calls.some(({ kind }) => kind === 'record' || kind === 'ended' || kind === 'clock')) await this.flush();
    return results;
  }

  /** All that was recorded is on the chain then. */
  flush(): Promise<void> {
    return this.#outbox.flush();
  }

  async finish(end: EndRequest): Promise<void> {
    await this.#options.claims.during(this.flush());
    this.#end ??= end;
  }

  stop(): void {
    this.#outbox.stop();
  }

  /** What leads to the first evidence of a node goes before more evidence of others. */
  async #inTurn(call: AgentCall, leads: boolean): Promise<CallResult> {
    const { turns, capture } = this.#options;
    if (leads) return turns.first(capture, () => this.#answer(call));
    await turns.calm();
    return this.#answer(call);
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
        return this.#grantObject(call);
      case 'begin-upload':
        assertAgentPath(call.path);
        return claims.upload(call.path, () => grants.beginUpload(call.path));
      case 'grant-part':
        return this.#grantPart(call);
      case 'complete-upload': {
        assertAgentPath(call.path);
        const { path, upload, parts } = call;
        const names = await grants.completeUpload(path, upload, parts);
        claims.see(path, { size: sizeOf(parts), parts, ...names });
        return names;
      }
      case 'finished': {
        assertAgentPath(call.path);
        const names = await grants.finished(call, call.versionId);
        if (names === undefined) return names;
        this.#hasFirst = true;
        this.#options.turns.begun(this.#options.capture.metadata.name);
        claims.see(call.path, { size: call.size, sha256: call.sha256, ...names });
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

  /** What the store's own limits refuse is no claim: it would take of the capture's bytes for nothing. */
  async #grantObject(call: Extract<AgentCall, { kind: 'grant-object' }>): Promise<unknown> {
    assertAgentPath(call.path);
    const { path, size, sha256 } = call;
    const grant = await this.#options.grants.grantObject(call);
    this.#options.claims.object({ path, size, sha256, until: Date.parse(grant.expires) });
    return grant;
  }

  /** An upload that was begun before this controller came is the store's to know. */
  async #grantPart(call: Extract<AgentCall, { kind: 'grant-part' }>): Promise<unknown> {
    const { grants, claims } = this.#options;
    const { path, upload, number } = call;
    assertAgentPath(path);
    if (!(await claims.knows(path, upload))) {
      await grants.finishedPart(call); // throws object-missing where there is no such upload
      if (!(await claims.knows(path, upload))) claims.adopt(path, upload);
    }
    const grant = await grants.grantPart(call);
    claims.part(call, number);
    return grant;
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
    // of the whole of several parts only who reads it all can say: that is the agent's word
    if (parts?.length === 1 && parts[0]?.sha256 !== sha256) throw refused(path, 'its one part has another digest');
    const said = given({ ...record, ...seen, sha256 });
    const length = bytesOf(said) + path.length + SUBJECT_BYTES;
    await this.#outbox.add(length, (batch) => {
      if (!claims.record(record, length)) return;
      // beyond its own size the batch waits: this one's bytes are bounded before
      void batch.record(said).catch(() => undefined); // the flush that follows says it
    });
  }

  async #collectorEnded(end: Extract<AgentCall, { kind: 'ended' }>['end']): Promise<void> {
    const { number, collectors, claims } = this.#options;
    if (end.session !== number || !(collectors.includes(end.collector) || end.collector === 'shared'))
      throw refused(end.collector, 'this session did not announce such a collector');
    const said = { ...end, gaps: end.gaps.map((gap) => given(gap)) };
    const length = bytesOf(said);
    await this.#outbox.add(length, (batch) => {
      if (this.#ended.has(end.collector)) return;
      claims.say(end.collector, length);
      this.#ended.add(end.collector);
      batch.ended(said);
    });
  }

  /** The node's clocks, each reading once; an honest agent has a few of them. */
  async #clock(sample: Extract<AgentCall, { kind: 'clock' }>['sample']): Promise<void> {
    const text = JSON.stringify(sample);
    const length = Buffer.byteLength(text);
    await this.#outbox.add(length, (batch) => {
      if (this.#samples.has(text)) return;
      if (this.#samples.size >= MAX_SAMPLES) throw refused('clock', `a session has ${MAX_SAMPLES} readings at most`);
      this.#options.claims.say('clock', length);
      this.#samples.add(text);
      batch.clock(given(sample));
    });
  }
}

const MAX_SAMPLES = 1000;

function actorOf({ identity, number }: SessionOptions): Actor {
  return { kind: 'agent', name: identity.username, node: identity.node, pod: identity.pod, session: number };
}

function sizeOf(parts: readonly { readonly size: number }[]): number {
  return parts.reduce((sum, { size }) => sum + size, 0);
}

function bytesOf(value: object): number {
  return Buffer.byteLength(JSON.stringify(value));
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
