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
import type { Standing } from './standing.ts';

export interface WantedFile {
  readonly path: string;
  /** Bytes by the chain; where it does not say, as the store lists them. */
  readonly size: number;
  /** Bytes of what would be read, as the store lists them. */
  readonly stored: number;
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
  /** Objects that are none of the layout, or that a sealed chain does not name: not fetched. */
  readonly foreign: readonly string[];
  /** Artefacts that the chain does not name yet: fetched, and nothing says what they must be. */
  readonly unnamed: readonly string[];
}

/** Throws `usage` where artefacts were asked for and none is there. */
export function assertWanted(standing: Standing, only: readonly string[]): void {
  if (only.length === 0) return;
  if (wantedPaths(standing, only).length > 0) return;
  throw new ImpoundError('usage', `no artefact matches ${only.join(', ')}; "ls" lists what there is`, {
    operation: 'pull',
  });
}

/** Of the artefacts that are there those that are asked for. */
export function wantedPaths(standing: Standing, only: readonly string[]): readonly string[] {
  return [...contentsOf(standing).sizes.keys()].filter((path) => isArtefact(path) && isWanted(path, only));
}

export async function planPull(store: Store, standing: Standing, only: readonly string[]): Promise<PullPlan> {
  const { entries } = standing;
  const { named, sizes, foreign } = contentsOf(standing);
  const own = new Map(records(entries.map(({ statement }) => statement)).map((record) => [record.path, record]));
  const tags = await tagDigests(store, sizes, entries);
  const files: WantedFile[] = [];
  let left = 0;
  for (const [path, size] of sizes) {
    const payload = isArtefact(path);
    if (payload && !isWanted(path, only)) left++;
    else {
      const record = own.get(path);
      const digest = payload ? named.get(path) : undefined;
      const sha256 = payload ? digest?.sha256 : tags.get(path);
      const expected = digest?.size ?? size;
      // what is listed is the first version, what is read the one that the chain names
      const stored = record?.versionId === undefined ? size : expected;
      files.push({ path, size: expected, stored, sha256, ...(record === undefined ? {} : { record }) });
    }
  }
  const rank = ({ path, size }: WantedFile): number => (isArtefact(path) ? size : Number.POSITIVE_INFINITY);
  files.sort((a, b) => rank(b) - rank(a) || (a.path < b.path ? -1 : 1));
  const missing = [...named.keys()].filter((path) => !sizes.has(path) && isWanted(path, only));
  const unnamed = files.flatMap(({ path }) => (isArtefact(path) && !named.has(path) ? [path] : []));
  return { files, missing, left, foreign, unnamed };
}

interface Contents {
  /** By path, as the chain says. */
  readonly named: ReadonlyMap<string, ReturnType<typeof payloadDigests>[number]>;
  /** By path, bytes as the store lists them. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly foreign: readonly string[];
}

function contentsOf({ entries, listed }: Standing): Contents {
  const statements = entries.map(({ statement }) => statement);
  const named = new Map(payloadDigests(statements).map((digest) => [digest.path, digest]));
  const sealed = statements.some(({ predicate }) => predicate.action === 'seal');
  const sizes = new Map<string, number>();
  const foreign: string[] = [];
  for (const { path, kind, size } of listed) {
    const layout = kind === 'file' ? layoutOf(path) : undefined;
    if (layout === undefined || (sealed && layout.kind === 'payload' && !named.has(path))) foreign.push(path);
    else sizes.set(path, size);
  }
  return { named, sizes, foreign };
}

/** Of a path of the layout. */
function isArtefact(path: string): boolean {
  return path.startsWith('data/');
}

function isWanted(path: string, only: readonly string[]): boolean {
  const within = path.replace(/^data\//, '');
  return only.length === 0 || only.some((glob) => matchesGlob(path, glob) || matchesGlob(within, glob));
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
