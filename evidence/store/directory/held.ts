// What a directory holds of what was granted: remembered where it came through here, else read.
import { lstat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { sha256 } from '../../format/digest.ts';
import type { StoredObject, StoredPart } from '../../format/record.ts';
import { digestOf } from '../../stream/hash.ts';
import { ignoreAbsence, syncFolder } from '../folders.ts';
import type { Store } from '../store.ts';
import { readPart, stagedPart } from './parts.ts';

/** What is forgotten is read. */
const REMEMBERED = 10_000;

export interface HeldPlace {
  readonly store: Pick<Store, 'size' | 'read'>;
  target(path: string): Promise<string>;
}

/** Each answer: undefined where there is none, false where it is of other bytes. */
export class Held {
  readonly #place: HeldPlace;
  readonly #objects = new Map<string, string>();
  readonly #joined = new Map<string, string>();
  readonly #parts = new Map<string, string>();

  constructor(place: HeldPlace) {
    this.#place = place;
  }

  /** What was just committed. */
  rememberObject(path: string, stored: StoredObject): void {
    remember(this.#objects, path, `${stored.size} ${stored.sha256}`);
    if (stored.parts !== undefined) remember(this.#joined, path, digestOfList(stored.parts));
  }

  rememberPart(upload: string, number: number, part: StoredPart): void {
    remember(this.#parts, `${upload} ${number}`, `${part.size} ${part.sha256}`);
  }

  /** Without reading: false where this is not known. */
  isKnownOther(upload: string, number: number, wanted: StoredPart): boolean {
    const known = this.#parts.get(`${upload} ${number}`);
    return known !== undefined && known !== `${wanted.size} ${wanted.sha256}`;
  }

  async object(path: string, wanted: StoredPart): Promise<boolean | undefined> {
    const size = await this.#place.store.size(path);
    if (size === undefined) return undefined;
    if (size !== wanted.size) return false;
    const known = this.#objects.get(path);
    if (known !== undefined) return known === `${wanted.size} ${wanted.sha256}`;
    await this.#settle(path);
    const stored = await digestOf(this.#place.store.read(path));
    this.rememberObject(path, stored);
    return stored.sha256 === wanted.sha256 && stored.size === wanted.size;
  }

  /** Of an object that was put together of `parts`. */
  async joined(path: string, parts: readonly StoredPart[]): Promise<boolean | undefined> {
    const size = await this.#place.store.size(path);
    if (size === undefined) return undefined;
    if (size !== parts.reduce((sum, part) => sum + part.size, 0)) return false;
    if (this.#joined.get(path) === digestOfList(parts)) return true;
    await this.#settle(path);
    let start = 0;
    for (const part of parts) {
      const end = start + part.size;
      const { sha256: held } = await digestOf(this.#place.store.read(path, { start, end }));
      if (held !== part.sha256) return false;
      start = end;
    }
    remember(this.#joined, path, digestOfList(parts));
    return true;
  }

  /** Throws `object-missing` where there is no such upload. */
  async part(folder: string, path: string, upload: string, wanted: StoredPart & { readonly number: number }) {
    const staged = await stagedPart(folder, path, wanted.number);
    if (staged === undefined) return undefined;
    if (staged.size !== wanted.size) return false;
    const known = this.#parts.get(`${upload} ${wanted.number}`);
    if (known !== undefined) return known === `${wanted.size} ${wanted.sha256}`;
    const held = { size: staged.size, sha256: await readPart(staged) };
    this.rememberPart(upload, wanted.number, held);
    return held.sha256 === wanted.sha256;
  }

  /** A crash may have come between the object's name and its durability. */
  async #settle(path: string): Promise<void> {
    const target = await this.#place.target(path);
    if ((await lstat(target).catch(ignoreAbsence)) !== undefined) await syncFolder(dirname(target));
  }
}

function digestOfList(parts: readonly StoredPart[]): string {
  return sha256(Buffer.from(parts.map((part) => `${part.size} ${part.sha256}`).join('\n')));
}

/** The oldest are forgotten. */
function remember(map: Map<string, string>, key: string, value: string): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > REMEMBERED && oldest !== undefined) map.delete(oldest);
}
