// Appends to a custody chain: links, signs and claims each number, whoever else may be writing.
import { ImpoundError } from '../errors.ts';
import { sha256 } from '../format/digest.ts';
import {
  type Action,
  PREDICATE_TYPE,
  SEALED_ACTIONS,
  STATEMENT_TYPE,
  type Statement,
  type Subject,
} from '../format/entry.ts';
import { encodeEnvelope, MAX_ENTRY_BYTES, signedBytes } from '../format/envelope.ts';
import { entryPath } from '../format/layout.ts';
import { canonicalSignature } from '../format/signature.ts';
import { nonce } from '../id.ts';
import type { Actor, Clock, Signer } from '../ports.ts';
import type { Store } from '../store/store.ts';
import { type ChainEntry, readEntry } from './chain-reader.ts';

/** The newest entry's number and the SHA-256 of its stored bytes: `verify --head` takes it as N:SHA256. */
export interface ChainHead {
  readonly sequence: number;
  readonly sha256: string;
}

/** Reason of the `note` by which a bundle is taken from a capture that is said to have ended. */
export const TAKEN_OVER = 'taken-over';

export interface ChainWriterOptions {
  readonly store: Store;
  readonly bundle: string;
  readonly signer: Signer;
  readonly actor: Actor;
  readonly clock: Clock;
  /** The chain as it stands; empty for a new bundle. */
  readonly entries: readonly ChainEntry[];
}

/** What an entry may have beside its action and details. */
export interface EntryOptions {
  /** What it speaks of; the previous entry where absent. */
  readonly subjects?: readonly Subject[];
  /** Of whoever may have to ask again for one whose answer was lost: the entry is then there once. */
  readonly nonce?: string;
  /** In whose name it stands, where that is not the writer: an agent's, whose word is passed on, or a person's. */
  readonly actor?: Actor;
}

/** An entry before it has its number. */
interface Draft extends Required<EntryOptions> {
  readonly action: Action;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Entries are appended one after the other; the statements so far are kept, since seal and coverage are made of them. */
export class ChainWriter {
  readonly #options: ChainWriterOptions;
  readonly #statements: Statement[];
  #head: ChainHead | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  /** How far the chain has come: what would go into the sealed part comes too late once it is closed. */
  #end: 'open' | 'closed' | 'sealed' | 'taken-over' = 'open';

  constructor(options: ChainWriterOptions) {
    this.#options = options;
    this.#statements = options.entries.map((entry) => entry.statement);
    const last = options.entries.at(-1);
    this.#head = last === undefined ? undefined : { sequence: last.sequence, sha256: last.sha256 };
    for (const statement of this.#statements) this.#note(statement);
  }

  get bundle(): string {
    return this.#options.bundle;
  }

  get statements(): readonly Statement[] {
    return this.#statements;
  }

  /** Throws where nothing has been appended yet. */
  get head(): ChainHead {
    if (this.#head === undefined) {
      throw new ImpoundError('chain-broken', 'the chain has no entry yet', { operation: 'read chain' });
    }
    return this.#head;
  }

  append(action: Action, details: object, options: EntryOptions = {}): Promise<ChainHead> {
    const { subjects = [], nonce: ownNonce = nonce(), actor = this.#options.actor } = options;
    const draft = { action, details: { ...details }, subjects, nonce: ownNonce, actor };
    const appended = this.#queue.then(() => this.#append(draft));
    this.#queue = appended.catch(() => undefined);
    return appended;
  }

  async #append(draft: Draft): Promise<ChainHead> {
    const { action, nonce: ownNonce } = draft;
    this.#assertInTime(action);
    // met meanwhile by another entry that took its number
    if (this.#statements.some(({ predicate }) => predicate.nonce === ownNonce)) return this.head;
    for (let attempt = 0; attempt < 16; attempt++) {
      const made = this.#statement(draft);
      const bytes = await this.#sign(made);
      try {
        await this.#options.store.put(entryPath(made.predicate.sequence), bytes, 'believed');
        return this.#accept(made, bytes);
      } catch (error) {
        if (!(error instanceof ImpoundError && error.code === 'object-exists')) throw error;
        const stored = await readEntry(this.#options.store, made.predicate.sequence);
        // our own entry, put by a try whose answer was lost, is success; anybody else's is linked to instead
        this.#accept(stored.statement, stored.bytes);
        if (stored.statement.predicate.nonce === ownNonce) return this.head;
        // nobody takes over from himself
        if (isTakeOver(stored.statement)) this.#end = 'taken-over';
        this.#assertInTime(action);
      }
    }
    throw new ImpoundError('chain-contended', 'another writer keeps appending to this chain; stop it and try again', {
      operation: 'append',
      thing: this.#options.bundle,
    });
  }

  /** What may stand after the seal is never too late. */
  #assertInTime(action: Action): void {
    const seals = action === 'seal' && this.#end === 'closed';
    if (this.#end === 'open' || seals || !SEALED_ACTIONS.has(action)) return;
    throw new ImpoundError('bundle-sealed', 'another process has closed this bundle: nothing more can go into it', {
      operation: 'append',
      thing: this.#options.bundle,
    });
  }

  #accept(made: Statement, bytes: Uint8Array): ChainHead {
    this.#statements.push(made);
    this.#note(made);
    this.#head = { sequence: made.predicate.sequence, sha256: sha256(bytes) };
    return this.#head;
  }

  #note({ predicate: { action } }: Statement): void {
    if (action === 'close' && this.#end === 'open') this.#end = 'closed';
    if (action === 'seal') this.#end = 'sealed';
  }

  #statement({ subjects, ...said }: Draft): Statement {
    const { bundle, clock } = this.#options;
    const last = this.#statements.at(-1);
    const previous = this.#head;
    const now = clock.now().toISOString();
    const before = last?.predicate.time ?? now;
    return {
      _type: STATEMENT_TYPE,
      subject:
        subjects.length === 0 && previous !== undefined
          ? [{ name: entryPath(previous.sequence), digest: { sha256: previous.sha256 } }]
          : subjects,
      predicateType: PREDICATE_TYPE,
      predicate: {
        bundle,
        sequence: (previous?.sequence ?? -1) + 1,
        previous: previous?.sha256 ?? null,
        time: laterOf(now, before),
        nonce: said.nonce,
        actor: said.actor,
        action: said.action,
        details: said.details,
      },
    };
  }

  async #sign(made: Statement): Promise<Buffer> {
    const payload = Buffer.from(JSON.stringify(made));
    const { signer } = this.#options;
    const signature = canonicalSignature(await signer.sign(signedBytes(payload)));
    const bytes = encodeEnvelope({ payload, keyid: signer.keyid, signature });
    if (bytes.length <= MAX_ENTRY_BYTES) return bytes;
    throw new ImpoundError('entry-too-large', `an entry of ${bytes.length} bytes cannot be written`, {
      operation: 'append',
      thing: made.predicate.action,
    });
  }
}

function isTakeOver({ predicate: { action, details } }: Statement): boolean {
  return action === 'note' && details.reason === TAKEN_OVER;
}

/** Of two times in RFC 3339 UTC, which sort as text. */
function laterOf(a: string, b: string): string {
  if (a < b) return b;
  return a;
}
