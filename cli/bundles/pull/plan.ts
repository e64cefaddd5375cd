// What a bundle has, what each file must be by the chain, and which of it is wanted.
import { matchesGlob } from 'node:path';
import {
  type ArtefactRecord,
  type ChainEntry,
  entryPath,
  ImpoundError,
  layoutOf,
  MANIFEST,
  parseManifest,
  payloadDigests,
  readWhole,
  records,
  type Store,
  TAG_MANIFEST,
} from '../../../evidence/index.ts';

export interface WantedFile {
  readonly path: string;
  /** Bytes in the store, as it lists them. */
  readonly size: number;
  /** Lower-case hex; undefined for what nothing names: a key or a time stamp that came after the seal. */
  readonly sha256: string | undefined;
  readonly record?: ArtefactRecord;
}

export interface PullPlan {
  /** The chain and the tag files first, artefacts after them. */
  readonly files: readonly WantedFile[];
  /** Artefacts that the chain names and the store has not got. */
  readonly missing: readonly string[];
  /** Artefacts that were not asked for. */
  readonly left: number;
  /** Objects that are none of the layout: not fetched. */
  readonly foreign: readonly string[];
}

/** The chain's own links were checked when it was read; `entries` is all of it. */
export async function planPull(
  store: Store,
  entries: readonly ChainEntry[],
  only: readonly string[],
): Promise<PullPlan> {
  const statements = entries.map(({ statement }) => statement);
  const named = new Map(payloadDigests(statements).map(({ path, sha256 }) => [path, sha256]));
  const own = new Map(records(statements).map((record) => [record.path, record]));
  const sizes = new Map<string, number>();
  const foreign: string[] = [];
  for await (const { path, kind, size } of store.list()) {
    if (kind === 'file' && layoutOf(path) !== undefined) sizes.set(path, size);
    else foreign.push(path);
  }
  const tags = await tagDigests(store, sizes, entries);
  const wanted = (path: string): boolean =>
    only.length === 0 || only.some((glob) => matchesGlob(path, glob) || matchesGlob(path.replace(/^data\//, ''), glob));
  const files: WantedFile[] = [];
  let left = 0;
  for (const [path, size] of sizes) {
    const payload = layoutOf(path)?.kind === 'payload';
    if (payload && !wanted(path)) left++;
    else {
      const record = own.get(path);
      const sha256 = payload ? named.get(path) : tags.get(path);
      files.push({ path, size, sha256, ...(record === undefined ? {} : { record }) });
    }
  }
  if (only.length > 0 && !files.some(({ path }) => path.startsWith('data/')))
    throw new ImpoundError('usage', `no artefact matches ${only.join(', ')}; "ls" lists what there is`, {
      operation: 'pull',
    });
  const rank = ({ path, size }: WantedFile): number => (path.startsWith('data/') ? size : Number.POSITIVE_INFINITY);
  files.sort((a, b) => rank(b) - rank(a) || (a.path < b.path ? -1 : 1));
  const missing = [...named.keys()].filter((path) => !sizes.has(path) && wanted(path));
  return { files, missing, left, foreign };
}

/** Of the entries by the chain that was read, of the rest by the seal. */
async function tagDigests(
  store: Store,
  sizes: ReadonlyMap<string, number>,
  entries: readonly ChainEntry[],
): Promise<ReadonlyMap<string, string>> {
  const digests = new Map<string, string>();
  const seal = entries.find(({ statement }) => statement.predicate.action === 'seal');
  for (const { name, digest } of seal?.statement.subject ?? []) digests.set(name, digest.sha256);
  if (seal !== undefined && sizes.has(TAG_MANIFEST)) {
    const manifest = await readWhole(store, TAG_MANIFEST, MAX_TAG_BYTES);
    for (const [path, sha256] of parseManifest(manifest.toString('utf8')) ?? [])
      if (path !== MANIFEST) digests.set(path, sha256);
  }
  for (const { sequence, sha256 } of entries) digests.set(entryPath(sequence), sha256);
  return digests;
}

const MAX_TAG_BYTES = 256 * 1024 * 1024;
