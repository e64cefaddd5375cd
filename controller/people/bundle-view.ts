// What a bundle's chain says that readers need: who has said that they read, and what each object is.
import { type ArtefactRecord, type ChainEntry, readChain, records, type Store } from '../../evidence/index.ts';

/** Of one object, as the chain names it. */
export type ObjectRecord = Pick<ArtefactRecord, 'size' | 'sha256' | 'versionId'>;

export interface BundleView {
  readonly objects: ReadonlyMap<string, ObjectRecord>;
  /** Whether this person has an access entry that covers the path. */
  covers(person: string, path: string): boolean;
}

/** Reads chains, and keeps what the last ones said. Throws as `readChain`. */
export interface BundleViews {
  /** Read at most so many `milliseconds` ago. */
  view(store: Store, milliseconds: number): Promise<BundleView>;
  /** The chain has grown. */
  forget(store: Store): void;
}

/** Each has a line for every object: some tens of thousands at most. */
const CAPACITY = 16;

interface Kept {
  readonly view: Promise<BundleView>;
  /** performance.now() when it was read; nothing while it is. */
  at: number | undefined;
}

export function bundleViews(): BundleViews {
  const kept = new Map<string, Kept>();
  return {
    view(store, milliseconds) {
      const found = kept.get(store.url);
      // one that is being read is nobody's to read beside it
      if (found !== undefined && performance.now() - (found.at ?? Number.POSITIVE_INFINITY) <= milliseconds)
        return found.view;
      const read: Kept = { view: readChain(store).then(viewOf), at: undefined };
      const settle = (): void => {
        read.at = performance.now();
      };
      // what failed is asked again by the next
      read.view.then(settle, () => kept.get(store.url) === read && kept.delete(store.url));
      kept.delete(store.url);
      kept.set(store.url, read);
      for (const oldest of kept.keys()) {
        if (kept.size <= CAPACITY) break;
        kept.delete(oldest);
      }
      return read.view;
    },
    forget: (store) => void kept.delete(store.url),
  };
}

function viewOf(entries: readonly ChainEntry[]): BundleView {
  const statements = entries.map(({ statement }) => statement);
  const covered = new Map<string, (readonly string[] | undefined)[]>();
  for (const { predicate } of statements) {
    const { action, actor, details } = predicate;
    if (action !== 'access' || actor.kind !== 'person') continue;
    covered.set(actor.name, [...(covered.get(actor.name) ?? []), pathsOf(details.paths)]);
  }
  const objects = records(statements).map(({ path, size, sha256, versionId }): [string, ObjectRecord] => [
    path,
    { size, sha256, ...(versionId === undefined ? {} : { versionId }) },
  ]);
  return {
    objects: new Map(objects),
    covers: (person, path) =>
      (covered.get(person) ?? []).some(
        (paths) => paths === undefined || paths.some((one) => path === one || path.startsWith(`${one}/`)),
      ),
  };
}

/** Undefined: all of the bundle. What is no list covers nothing. */
function pathsOf(paths: unknown): readonly string[] | undefined {
  if (paths === undefined) return undefined;
  return Array.isArray(paths) ? paths.filter((one) => typeof one === 'string') : [];
}
