// One capture while it is being made: its chain, the agent's sessions at it, and what the cluster itself says meanwhile.
// Opened anew from store and chain by whichever replica leads.
import {
  beginBundle,
  type CaptureStamps,
  type ChainHead,
  ChainWriter,
  type Custody,
  coverage,
  type Ending,
  endBundle,
  type GapGroup,
  gapGroups,
  ImpoundError,
  type Logger,
  readChain,
  records,
  type Statement,
  type Store,
  stampCapture,
  type Uploads,
  unfinishedGaps,
} from '../../evidence/index.ts';
import type { CaptureOrder, EndRequest, NodeCapture, SessionRequest } from '../../protocol/index.ts';
import { Claims } from '../agents/claims.ts';
import type { AgentLimits } from '../agents/limits.ts';
import { Refusals } from '../agents/refusals.ts';
import { AgentSession } from '../agents/session.ts';
import type { AgentIdentity } from '../http/identity.ts';
import { Problem } from '../http/problem.ts';
import type { Turns } from '../turns.ts';
import { Contact } from './contact.ts';
import { declareAbsentAgent, fuller, groupsOf } from './missing.ts';
import { occupy } from './occupy.ts';
import { agentOrder, bundleRequest } from './request.ts';
import { agentActor, type BegunSession, countAgentSessions, endDetails, lastAgentSession } from './sessions.ts';
import { ChainTally, type Progress } from './tally.ts';

export interface LiveOptions {
  readonly capture: NodeCapture;
  /** Id of the bundle, settled in the status before anything is stored. */
  readonly bundle: string;
  readonly custody: Custody;
  readonly uploads: Uploads;
  readonly limits: AgentLimits;
  readonly turns: Turns;
  /** Time stamp authorities. */
  readonly tsa: readonly string[];
  readonly log: Logger;
  /** Counts what an agent was refused, by code. */
  readonly refused: (code: string) => void;
  /** Tells whoever reconciles that something has changed. */
  readonly changed: () => void;
}

/** An agent of another session, or of a capture that has ended, hears this and lets go. */
const OVER = 'this session is over';

export class LiveCapture {
  readonly #options: LiveOptions;
  readonly chain: ChainWriter;
  readonly contact = new Contact();
  /** Somebody else had it before: what is on its way to the store is not known here. */
  readonly resumed: boolean;
  readonly #claims: Claims;
  readonly #refusals: Refusals;
  readonly #stamps: CaptureStamps;
  readonly #tally: ChainTally;
  readonly #opened = performance.now();
  #session: AgentSession | undefined;
  #stop: { readonly reason: string; readonly at: number } | undefined;
  #closing = false;
  /** Sessions begin and end one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(options: LiveOptions, chain: ChainWriter, resumed: boolean) {
    this.#options = options;
    this.chain = chain;
    this.resumed = resumed;
    this.#tally = new ChainTally(() => chain.statements);
    this.#claims = new Claims(options.limits, records(chain.statements));
    this.#refusals = new Refusals(options.refused);
    this.#stamps = stampCapture(options.custody.store, chain, options.tsa, options.log);
  }

  /** Begins the bundle, or goes on with what there is of it, where it is not `fresh`. */
  static async open(options: LiveOptions, fresh = false): Promise<LiveCapture> {
    const { custody, bundle, capture } = options;
    const entries = fresh
      ? undefined
      : await readChain(custody.store).catch((error: unknown) => {
          if (error instanceof ImpoundError && error.code === 'not-a-bundle') return undefined;
          throw error;
        });
    if (entries === undefined) {
      const chain = await beginBundle(custody, bundleRequest(capture, bundle));
      return new LiveCapture(options, chain, false);
    }
    const live = new LiveCapture(options, new ChainWriter({ ...custody, bundle, entries }), true);
    await live.#resumeSession();
    return live;
  }

  get node(): string {
    return this.#options.capture.spec.node;
  }

  get store(): Store {
    return this.#options.custody.store;
  }

  get custody(): Custody {
    return this.#options.custody;
  }

  /** Milliseconds since it was opened here. */
  get age(): number {
    return performance.now() - this.#opened;
  }

  get uploads(): Uploads {
    return this.#options.uploads;
  }

  get session(): AgentSession | undefined {
    return this.#session;
  }

  get stopping(): string | undefined {
    return this.#stop?.reason;
  }

  /** Since it was told to stop. */
  get stopSeconds(): number | undefined {
    return this.#stop === undefined ? undefined : (performance.now() - this.#stop.at) / 1000;
  }

  /** Whether the chain has seen this collector end. */
  ended(collector: string): boolean {
    return this.#tally.ended.has(collector);
  }

  /** The first entry of this action. */
  find(action: string): Statement | undefined {
    return this.#tally.first(action);
  }

  /** Whether the chain has an entry of this action, of this reason where given. */
  has(action: string, reason?: string): boolean {
    return this.#tally.first(action, reason) !== undefined;
  }

  /** Number of the last such entry; -1 where there is none. */
  lastOf(action: string, reason?: string): number {
    return this.#tally.last(action, reason)?.predicate.sequence ?? -1;
  }

  get progress(): Progress {
    return this.#tally.progress;
  }

  /** By its own word, or since it was asked to; one that ended unasked may come again. */
  get agentDone(): boolean {
    const end = this.#session?.end;
    return end !== undefined && (end.outcome !== 'aborted' || this.#stop !== undefined);
  }

  /** What an agent is to do; undefined where it is too late for that. */
  order(seconds: number): CaptureOrder | undefined {
    if (this.#closing || this.#stop !== undefined || this.agentDone) return undefined;
    return agentOrder(this.#options.capture, this.#options.bundle, seconds, [...this.#tally.ended]);
  }

  /** Begins a session, or answers with the one that this request began. */
  begin(identity: AgentIdentity, request: SessionRequest): Promise<AgentSession> {
    const { turns, capture } = this.#options;
    const begun = this.#turn.then(() => turns.first(capture, () => this.#begin(identity, request)));
    this.#turn = begun.catch(() => undefined);
    return begun;
  }

  async #begin(identity: AgentIdentity, request: SessionRequest): Promise<AgentSession> {
    if (this.#session?.nonce === request.nonce && this.#session.identity.podUid === identity.podUid)
      return this.#session;
    const used = this.chain.statements.some(({ predicate }) => predicate.nonce === request.nonce);
    if (used || this.#closing || this.#stop !== undefined || this.agentDone) throw new Problem(409, 'conflict', OVER);
    const before = countAgentSessions(this.chain.statements);
    if (before >= this.#options.limits.sessions)
      throw new Problem(409, 'conflict', `a capture has ${this.#options.limits.sessions} sessions at most`);
    const { profile, suspects = [] } = this.#options.capture.spec;
    const number = before + 1;
    const { nonce, software, collectors } = request;
    const details = { session: number, software, profile, collectors, suspects, nonce, podUid: identity.podUid };
    const actor = agentActor(identity, number);
    await this.chain.append('session', details, { actor, nonce });
    const session = this.#take({ number, nonce, software, collectors, identity });
    this.contact.heard();
    this.#options.changed();
    return session;
  }

  /** The session that a request means; throws a Problem 409 where it is over. */
  open(number: number, identity: AgentIdentity): AgentSession {
    const session = this.#session;
    if (this.#closing || session?.number !== number || session.identity.podUid !== identity.podUid)
      throw new Problem(409, 'conflict', OVER);
    this.contact.heard();
    return session;
  }

  /** An agent's word that it is done; on the chain, so that whoever leads next need not wait for it. */
  async finish(session: AgentSession, end: EndRequest): Promise<void> {
    const finished = this.#turn.then(() => this.#finish(session, end));
    this.#turn = finished.catch(() => undefined);
    await finished;
    this.#options.changed();
  }

  async #finish(session: AgentSession, end: EndRequest): Promise<void> {
    if (session.end !== undefined) return;
    if (this.#closing) throw new Problem(409, 'conflict', OVER);
    await session.flush();
    await this.chain.append('note', endDetails(end), { actor: agentActor(session.identity, session.number) });
    await session.finish(end);
  }

  /** Collecting is to end: the agent hears why with its next answer. */
  stop(reason: string): void {
    this.#stop ??= { reason, at: performance.now() };
  }

  /**
   * Ends collecting for good, keeps what there is of it, and seals. `gaps` are the controller's own collectors'. May be
   * called again where it failed.
   */
  async seal(outcome: Ending['outcome'], gaps: readonly GapGroup[], footprint: readonly object[]): Promise<ChainHead> {
    this.#closing = true;
    const { custody } = this.#options;
    const session = this.#session;
    if (!this.has('close')) {
      // what an agent asked for before may still end as an object in the store
      await this.#turn;
      await this.#claims.settled();
      await session?.flush();
      session?.stop();
      await occupy(custody, this.chain, this.#claims.outstanding);
      await declareAbsentAgent(this.chain, this.node, this.age / 1000);
      await this.recordRefusals(true);
      await this.#stamps.beforeClose();
    }
    const end = session?.end;
    const head = await endBundle(custody, this.chain, {
      outcome,
      recover: true,
      gaps: [
        ...fuller(gapGroups(this.chain.statements), [...gaps, ...groupsOf(end)]),
        ...unfinishedGaps(this.chain.statements),
      ],
      footprint: [...footprint, ...(end?.footprint ?? [])],
    });
    const last = await this.#stamps.afterSeal(head);
    await custody.store.finish();
    return last;
  }

  /** What an agent asked of this capture was refused as a whole. */
  refuse(code: string, message: string): void {
    this.#refusals.add(code, message);
  }

  /** Puts what agents were refused on the chain, where it is time for that or `all` is to be said now. */
  async recordRefusals(all = false): Promise<void> {
    const session = this.#session;
    const agent = session === undefined ? null : agentActor(session.identity, session.number);
    await this.#refusals.record(this.chain, agent, all);
  }

  close(): void {
    this.#closing = true;
    this.#session?.stop();
  }

  async #resumeSession(): Promise<void> {
    const last = lastAgentSession(this.chain.statements);
    if (last === undefined) return;
    const session = this.#take(last);
    if (last.end !== undefined) await session.finish(last.end);
  }

  #take({ identity, ...begun }: Omit<BegunSession, 'end'>): AgentSession {
    this.#session?.stop();
    this.#claims.restart();
    const { grants } = this.#options.uploads;
    const ends = coverage(this.chain.statements).collectors.filter(
      ({ session, outcome }) => session === begun.number && outcome !== 'unfinished',
    );
    const ended = new Set(ends.map(({ collector }) => collector));
    const { turns, capture } = this.#options;
    const common = { chain: this.chain, grants, claims: this.#claims, refusals: this.#refusals, ended, turns, capture };
    const { number, nonce, software, collectors } = begun;
    const session = new AgentSession({ ...common, number, nonce, software, collectors, identity });
    this.#session = session;
    this.contact.begun();
    return session;
  }
}
