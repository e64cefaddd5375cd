// What an agent has claimed, what of it was seen in the store, and how much there may be: one ledger a capture.
import type { ArtefactRecord, StoredObject } from '../../evidence/index.ts';
import type { AgentLimits } from './limits.ts';
import { refused } from './limits.ts';

export interface Claim {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

/** A whole object that a URL is out for, until then (milliseconds since 1970). */
export interface Outstanding extends Claim {
  readonly until: number;
}

/** As the store holds it. The digest of an object of parts is the agent's word until somebody reads it. */
export type Seen = Omit<StoredObject, 'sha256'> & { readonly sha256?: string };

interface Upload {
  readonly id: Promise<string>;
  /** Granted so far: number to digest. */
  readonly parts: Map<number, string>;
}

export class Claims {
  readonly #limits: AgentLimits;
  #bytes = 0;
  #words = 0;
  readonly #running = new Set<Promise<unknown>>();
  /** Whole objects that were granted and not seen yet. */
  readonly #open = new Map<string, Outstanding>();
  /** Begun and not completed, by path: whoever asks again for one gets the same. */
  readonly #uploads = new Map<string, Upload>();
  readonly #seen = new Map<string, Seen>();
  /** Above any path that was ever claimed: some stores can't have an object of such a name, as they can't have one below an object. */
  readonly #folders = new Set<string>();
  /** What the chain names: path to digest. */
  readonly #recorded = new Map<string, string>();

  constructor(limits: AgentLimits, recorded: Iterable<ArtefactRecord>) {
    this.#limits = limits;
    for (const record of recorded) {
      this.#recorded.set(record.path, record.sha256);
      for (const folder of foldersOf(record.path)) this.#folders.add(folder);
      this.#bytes += record.size;
      this.#words += JSON.stringify(record).length;
    }
  }

  /** After a URL was signed, before it is given out. Throws `grant-refused`. The same claim again costs nothing. */
  object(claim: Outstanding): void {
    const { path, size, sha256 } = claim;
    const before = this.#open.get(path);
    const isSame = before?.sha256 === sha256 && before.size === size;
    if (before !== undefined && !isSame) throw refused(path, 'other bytes were claimed for it before');
    if (this.#uploads.has(path)) throw refused(path, 'an upload in parts was begun for it');
    const known = this.#recorded.get(path) ?? this.#seen.get(path)?.sha256;
    if (known !== undefined && known !== sha256) throw refused(path, 'other bytes stand there already');
    if (!isSame && known === undefined) {
      this.#take(path, size, () => this.#artefact(path));
    }
    this.#open.set(path, claim);
  }

  /** Begins an upload, or answers with the one that was begun for this path. */
  async upload(path: string, begin: () => Promise<string>): Promise<string> {
    if (this.#recorded.has(path) || this.#seen.has(path)) throw refused(path, 'it stands there already');
    if (this.#open.has(path)) throw refused(path, 'it was claimed as a whole object');
    const before = this.#uploads.get(path);
    if (before !== undefined) return before.id;
    if (this.#uploads.size >= this.#limits.uploads)
      throw refused(path, `${this.#limits.uploads} uploads are open already`);
    this.#artefact(path);
    const begun: Upload = { id: begin(), parts: new Map() };
    this.#uploads.set(path, begun);
    try {
      return await begun.id;
    } catch (error) {
      if (this.#uploads.get(path) === begun) this.#uploads.delete(path);
      throw error;
    }
  }

  /** Whether this capture began the upload: a controller that came later does not know, and asks the store. */
  async knows(path: string, upload: string): Promise<boolean> {
    const begun = this.#uploads.get(path);
    if (begun === undefined) return false;
    if ((await begun.id) === upload) return true;
    throw refused(path, 'another upload was begun for it');
  }

  /** One that the store knows, begun before this controller came or by an earlier session. */
  adopt(path: string, upload: string): void {
    if (this.#uploads.size >= this.#limits.uploads)
      throw refused(path, `${this.#limits.uploads} uploads are open already`);
    this.#artefact(path);
    this.#uploads.set(path, { id: Promise.resolve(upload), parts: new Map() });
  }

  /** After a URL was signed, before it is given out. */
  part({ path, size, sha256 }: Claim, number: number): void {
    const begun = this.#uploads.get(path);
    if (begun === undefined) throw refused(path, 'no upload is open for it');
    const before = begun.parts.get(number);
    if (before === sha256) return;
    if (before !== undefined) throw refused(path, `other bytes were claimed for part ${number} before`);
    this.#take(path, size);
    begun.parts.set(number, sha256);
  }

  /** The store holds it. */
  see(path: string, seen: Seen): void {
    this.#open.delete(path);
    this.#uploads.delete(path);
    if (!this.#recorded.has(path)) this.#seen.set(path, seen);
  }

  seen(path: string): Seen | undefined {
    return this.#seen.get(path);
  }

  /** False where the chain names it already; throws where it names other bytes. `length` is that of its record. */
  record({ path, sha256 }: { readonly path: string; readonly sha256: string }, length: number): boolean {
    const known = this.#recorded.get(path);
    if (known === sha256) return false;
    if (known !== undefined) throw refused(path, 'other bytes are recorded for it already');
    this.say(path, length);
    this.#open.delete(path);
    this.#uploads.delete(path);
    this.#recorded.set(path, sha256);
    this.#seen.delete(path);
    return true;
  }

  /** Before something of this length goes on the chain: all of it stays in memory, and in the bundle for good. */
  say(thing: string, length: number): void {
    if (this.#words + length > this.#limits.words)
      throw refused(thing, `a capture has ${this.#limits.words} bytes of words on its chain at most`);
    this.#words += length;
  }

  /** Another session begins: what an earlier one left open is no longer in its way. */
  restart(): void {
    this.#uploads.clear();
  }

  /** Keeps note of what is under way, so that a seal can wait for it. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }

  /** Nothing is under way then that began before. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  /** Whole objects that may still be sent, since a URL for each is out. */
  get outstanding(): readonly Outstanding[] {
    return [...this.#open.values()];
  }

  #artefact(path: string): void {
    const known = this.#recorded.size + this.#seen.size + this.#open.size + this.#uploads.size;
    if (known >= this.#limits.artefacts)
      throw refused(path, `a capture has ${this.#limits.artefacts} artefacts at most`);
    const folders = foldersOf(path);
    if (this.#folders.has(path)) throw refused(path, 'other artefacts are below it');
    if (folders.some((folder) => this.#isTaken(folder))) throw refused(path, 'an artefact is above it');
    for (const folder of folders) this.#folders.add(folder);
  }

  #isTaken(path: string): boolean {
    return [this.#recorded, this.#seen, this.#open, this.#uploads].some((known) => known.has(path));
  }

  #take(path: string, size: number, also: () => void = () => undefined): void {
    if (this.#bytes + size > this.#limits.bytes)
      throw refused(path, `a capture has ${this.#limits.bytes} bytes at most, ${this.#bytes} are taken`);
    also();
    this.#bytes += size;
  }
}

/** All that are above it, but "data" and the one of its kind. */
function foldersOf(path: string): readonly string[] {
  const segments = path.split('/');
  return segments.slice(3).map((_, index) => segments.slice(0, index + 3).join('/'));
}
