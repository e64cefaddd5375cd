// One capture while it is being made: its chain, the agent's sessions at it, and what the cluster itself says meanwhile.
// Opened anew from store and chain by whichever replica leads.
import {
  type Actor,
  type ArtefactRecord,
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
import { agentOrder, bundleRequest } from './request.ts';

export interface LiveOptions {
  readonly capture: NodeCapture;
  /** Id of the bundle, settled in the status before anything is stored. */
  readonly bundle: string;
  readonly custody: Custody;
  readonly uploads: Uploads;
  readonly limits: AgentLimits;
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
  /** Somebody else had it before: what is on its way to the store is not known here. */
  readonly resumed: boolean;
  readonly #claims: Claims;
  readonly #refusals: Refusals;
  readonly #stamps: CaptureStamps;
  readonly #opened = performance.now();
  #session: AgentSession | undefined;
  #heard: number | undefined;
  #stop: { readonly reason: string; readonly at: number } | undefined;
  #closing = false;
  #beginning: Promise<unknown> = Promise.resolve();

  private constructor(options: LiveOptions, chain: ChainWriter, resumed: boolean) {
    this.#options = options;
    this.chain = chain;
    this.resumed = resumed;
    this.#claims = new Claims(options.limits, records(chain.statements));
    this.#refusals = new Refusals(options.refused);
    this.#stamps = stampCapture(options.custody.store, chain, resumed ? [] : options.tsa, options.log);
  }

  /** Begins the bundle, or goes on with what there is of it. */
  static async open(options: LiveOptions): Promise<LiveCapture> {
    const { custody, bundle, capture } = options;
    const entries = await readChain(custody.store).catch((error: unknown) => {
      if (error instanceof ImpoundError && error.code === 'not-a-bundle') return undefined;
      throw error;
    });
    if (entries === undefined) {
      const chain = await beginBundle(custody, bundleRequest(capture, bundle));
      return new LiveCapture(options, chain, false);
    }
    const live = new LiveCapture(options, new ChainWriter({ ...custody, bundle, entries }), true);
    live.#resumeSession();
    return live;
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

  /** Milliseconds since a session at it was last heard of; undefined where none was. */
  get silence(): number | undefined {
    return this.#heard === undefined ? undefined : performance.now() - this.#heard;
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

  get refused(): number {
    return this.#refusals.total;
  }

  /** Whether the chain has seen this collector end. */
  ended(collector: string): boolean {
    const { collectors } = coverage(this.chain.statements);
    return collectors.some((one) => one.collector === collector && one.outcome !== 'unfinished');
  }

  /** Whether the chain has an entry of this action, of this reason where given. */
  has(action: string, reason?: string): boolean {
    return this.find(action, reason) !== undefined;
  }

  find(action: string, reason?: string): Statement | undefined {
    return this.chain.statements.find(
      ({ predicate }) => predicate.action === action && (reason === undefined || predicate.details.reason === reason),
    );
  }

  get progress(): { readonly artefacts: number; readonly bytes: number; readonly gaps: number } {
    const all = records(this.chain.statements);
    return {
      artefacts: all.length,
      bytes: all.reduce((sum, { size }) => sum + size, 0),
      gaps: gapGroups(this.chain.statements).reduce((sum, { count }) => sum + count, 0),
    };
  }

  /** What an agent is to do; undefined where it is too late for that. */
  order(seconds: number): CaptureOrder | undefined {
    if (this.#closing || this.#stop !== undefined || this.#session?.end !== undefined) return undefined;
    const done = coverage(this.chain.statements).collectors.filter(({ outcome }) => outcome !== 'unfinished');
    const names = [...new Set(done.map(({ collector }) => collector))];
    return agentOrder(this.#options.capture, this.#options.bundle, seconds, names);
  }

  /** Begins a session, or answers with the one that this request began. */
  begin(identity: AgentIdentity, request: SessionRequest): Promise<AgentSession> {
    const begun = this.#beginning.then(() => this.#begin(identity, request));
    this.#beginning = begun.catch(() => undefined);
    return begun;
  }

  async #begin(identity: AgentIdentity, request: SessionRequest): Promise<AgentSession> {
    if (this.#session?.nonce === request.nonce && this.#session.identity.podUid === identity.podUid)
      return this.#session;
    if (this.#closing || this.#stop !== undefined) throw new Problem(409, 'conflict', OVER);
    const before = agentSessions(this.chain.statements);
    if (before.length >= this.#options.limits.sessions)
      throw new Problem(409, 'conflict', `a capture has ${this.#options.limits.sessions} sessions at most`);
    const { profile, suspects = [] } = this.#options.capture.spec;
    const number = before.length + 1;
    const { nonce, software, collectors } = request;
    const details = { session: number, software, profile, collectors, suspects, nonce, podUid: identity.podUid };
    const actor = agentActor(identity, number);
    await this.chain.append('session', details, { actor, nonce });
    this.#take(identity, { number, nonce, software, collectors });
    this.#options.changed();
    return this.#current();
  }

  /** The session that a request means; throws a Problem 409 where it is over. */
  open(number: number, identity: AgentIdentity): AgentSession {
    const session = this.#session;
    if (this.#closing || session?.number !== number || session.identity.podUid !== identity.podUid)
      throw new Problem(409, 'conflict', OVER);
    this.#heard = performance.now();
    return session;
  }

  /** An agent's word that it is done. */
  async finish(session: AgentSession, end: EndRequest): Promise<void> {
    await session.finish(end);
    this.#options.changed();
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
      await session?.flush();
      session?.stop();
      await this.#occupy();
      await this.recordRefusals();
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

  async recordRefusals(): Promise<void> {
    const session = this.#session;
    if (session === undefined) return;
    await this.#refusals.record(this.chain, agentActor(session.identity, session.number));
  }

  close(): void {
    this.#closing = true;
    this.#session?.stop();
  }

  /**
   * A URL that is out may still be used: its path is taken first, so that nothing can appear there once the bundle is
   * sealed. What was sent meanwhile stands there, and is read back with the rest.
   */
  async #occupy(): Promise<void> {
    const { store, clock } = this.#options.custody;
    const artefacts: ArtefactRecord[] = [];
    for (const { path, size } of this.#claims.outstanding) {
      const begun = clock.now().toISOString();
      try {
        const stored = await store.put(path, Buffer.alloc(0));
        const truncated = `the agent claimed ${size} bytes for it and never sent them`;
        artefacts.push({
          path,
          ...stored,
          collector: 'impound',
          session: 1,
          source: 'a claim',
          begun,
          ended: begun,
          truncated,
        });
      } catch (error) {
        if (!(error instanceof ImpoundError && error.code === 'object-exists')) throw error;
      }
    }
    if (artefacts.length === 0) return;
    const subjects = artefacts.map(({ path, sha256 }) => ({ name: path, digest: { sha256 } }));
    await this.chain.append('collect', { artefacts }, { subjects });
  }

  #resumeSession(): void {
    const last = agentSessions(this.chain.statements).at(-1);
    if (last === undefined) return;
    const { actor, details } = last.predicate;
    const { nonce, podUid, software, collectors, session } = details as unknown as SessionRequest & {
      readonly podUid: string;
      readonly session: number;
    };
    const { name: username, node = '', pod = '' } = actor;
    this.#take({ username, node, nodeUid: '', pod, podUid }, { number: session, nonce, software, collectors });
  }

  #take(
    identity: AgentIdentity,
    begun: Pick<SessionRequest, 'nonce' | 'software' | 'collectors'> & { readonly number: number },
  ): void {
    this.#session?.stop();
    const { grants } = this.#options.uploads;
    const ends = coverage(this.chain.statements).collectors.filter(
      ({ session, outcome }) => session === begun.number && outcome !== 'unfinished',
    );
    const ended = new Set(ends.map(({ collector }) => collector));
    const common = { chain: this.chain, grants, claims: this.#claims, refusals: this.#refusals, ended };
    this.#session = new AgentSession({ ...common, ...begun, identity });
    this.#heard = performance.now();
  }

  #current(): AgentSession {
    if (this.#session === undefined) throw new Error('there is no session');
    return this.#session;
  }
}

function agentSessions(statements: readonly Statement[]): readonly Statement[] {
  return statements.filter(({ predicate: { action, actor } }) => action === 'session' && actor.kind === 'agent');
}

function agentActor({ username, node, pod }: AgentIdentity, session: number): Actor {
  return { kind: 'agent', name: username, node, pod, session };
}

function groupsOf(end: EndRequest | undefined): readonly GapGroup[] {
  return (end?.gaps ?? []).map(({ detail, ...group }) => ({ ...group, ...(detail === undefined ? {} : { detail }) }));
}

/** The chain's groups, with more names where somebody told them: what it tells and the chain does not is left out. */
function fuller(chain: readonly GapGroup[], told: readonly GapGroup[]): readonly GapGroup[] {
  const keyOf = ({ collector, session, reason, detail = '' }: GapGroup): string =>
    JSON.stringify([collector, session, reason, detail]);
  const more = new Map(told.map((group) => [keyOf(group), group.names]));
  return chain.map((group) => ({ ...group, names: more.get(keyOf(group)) ?? group.names }));
}
