// What an agent has claimed, what of it was seen in the store, and how much there may be: one ledger a capture.
import type { ArtefactRecord, StoredObject } from '../../evidence/index.ts';
import type { AgentLimits } from './limits.ts';
import { refused } from './limits.ts';

export interface Claim {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

/** As the store holds it. The digest of an object of parts is the agent's word until somebody reads it. */
export type Seen = Omit<StoredObject, 'sha256'> & { readonly sha256?: string };

export class Claims {
  readonly #limits: AgentLimits;
  #bytes = 0;
  /** Whole objects that were granted and not seen yet. */
  readonly #open = new Map<string, Claim>();
  /** Uploads that were begun and not completed, with the parts granted so far. */
  readonly #uploads = new Map<string, { readonly path: string; readonly parts: Set<string> }>();
  readonly #seen = new Map<string, Seen>();
  /** What the chain names: path to digest. */
  readonly #recorded = new Map<string, string>();

  constructor(limits: AgentLimits, recorded: Iterable<ArtefactRecord>) {
    this.#limits = limits;
    for (const { path, sha256, size } of recorded) {
      this.#recorded.set(path, sha256);
      this.#bytes += size;
    }
  }

  /** Throws `grant-refused`. The same claim again costs nothing. */
  object(claim: Claim): void {
    const before = this.#open.get(claim.path);
    if (before?.sha256 === claim.sha256 && before.size === claim.size) return;
    if (before !== undefined) throw refused(claim.path, 'other bytes were claimed for it before');
    const known = this.#recorded.get(claim.path) ?? this.#seen.get(claim.path)?.sha256;
    if (known !== undefined && known !== claim.sha256) throw refused(claim.path, 'other bytes stand there already');
    if (known === undefined) this.#artefact(claim.path);
    this.#take(claim.path, claim.size);
    this.#open.set(claim.path, claim);
  }

  /** Before an upload is begun. */
  upload(path: string): void {
    if (this.#recorded.has(path) || this.#seen.has(path)) throw refused(path, 'it stands there already');
    if (this.#uploads.size >= this.#limits.uploads)
      throw refused(path, `${this.#limits.uploads} uploads are open already`);
    this.#artefact(path);
  }

  begun(path: string, upload: string): void {
    this.#uploads.set(upload, { path, parts: new Set() });
  }

  part({ path, size, sha256 }: Claim, upload: string, number: number): void {
    const begun = this.#uploads.get(upload);
    if (begun?.path !== path) throw refused(path, 'this upload was not begun for it');
    const key = `${number} ${sha256}`;
    if (begun.parts.has(key)) return;
    this.#take(path, size);
    begun.parts.add(key);
  }

  /** Whether this capture began the upload: a controller that came later does not know, and asks the store. */
  knows(upload: string): boolean {
    return this.#uploads.has(upload);
  }

  /** The store holds it. */
  see(path: string, seen: Seen, upload?: string): void {
    this.#open.delete(path);
    if (upload !== undefined) this.#uploads.delete(upload);
    this.#seen.set(path, seen);
  }

  seen(path: string): Seen | undefined {
    return this.#seen.get(path);
  }

  /** False where the chain names it already; throws where it names other bytes. */
  record({ path, sha256 }: { readonly path: string; readonly sha256: string }): boolean {
    const known = this.#recorded.get(path);
    if (known === sha256) return false;
    if (known !== undefined) throw refused(path, 'other bytes are recorded for it already');
    this.#recorded.set(path, sha256);
    this.#seen.delete(path);
    return true;
  }

  /** Whole objects that may still be sent, since a URL for each is out. */
  get outstanding(): readonly Claim[] {
    return [...this.#open.values()];
  }

  #artefact(path: string): void {
    const known = this.#recorded.size + this.#seen.size + this.#open.size + this.#uploads.size;
    if (known >= this.#limits.artefacts)
      throw refused(path, `a capture has ${this.#limits.artefacts} artefacts at most`);
  }

  #take(path: string, size: number): void {
    if (this.#bytes + size > this.#limits.bytes)
      throw refused(path, `a capture has ${this.#limits.bytes} bytes at most, ${this.#bytes} are taken`);
    this.#bytes += size;
  }
}
