// What a crash left half-written in a directory store: objects as far as they came, and uploads as far as their parts are
// without a gap.
import { lstat, opendir, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf } from '../../errors.ts';
import type { StoredPart } from '../../format/record.ts';
import { ignoreAbsence, linkOnce, syncFolder } from '../folders.ts';
import type { ObjectWriter, Store, UnfinishedObject } from '../store.ts';
import { storeError } from '../store-error.ts';
import { cutName, readPartialName } from './names.ts';
import { contiguous, joinParts, removeUpload, type StagedPart, stagedParts } from './parts.ts';

export interface UnfinishedPlace {
  /** Folder of half-written objects. */
  readonly partial: string;
  readonly store: Pick<Store, 'size'>;
  /** Where the object belongs; its folder is made. */
  target(path: string): Promise<string>;
  writer(path: string): Promise<ObjectWriter>;
}

interface Left {
  readonly name: string;
  readonly path: string;
  readonly cut: boolean;
  readonly size: number;
  /** Of an upload, without a gap. */
  readonly parts?: readonly StagedPart[];
  /** An upload that has no part at all, gap or not. */
  readonly empty?: true;
}

/** One for each path, that with the most bytes; its release forgets the others too. */
export async function* unfinishedIn(place: UnfinishedPlace): AsyncIterable<UnfinishedObject> {
  const paths = Map.groupBy(await leftIn(place.partial), ({ path }) => path);
  for (const [path, all] of paths) {
    // what stands under its path was put there whole, unless it was published from here
    if (!all.some(({ cut }) => cut) && (await place.store.size(path)) !== undefined) continue;
    const [best] = all.toSorted(byWorth);
    if (best === undefined || (best.parts !== undefined && best.parts.length === 0)) continue;
    yield {
      path,
      async publish() {
        const name = await cutOff(place.partial, best, path);
        return best.parts === undefined ? publishFile(place, path, name) : publishParts(place, path, name);
      },
      async release() {
        for (const { name, parts } of all)
          for (const one of new Set([name, cutName(name)])) await removeLeft(join(place.partial, one), parts);
      },
    };
  }
}

/** Removes what is half-written of objects that stand whole, and uploads that hold nothing. */
export async function tidyPartial({ partial, store }: Pick<UnfinishedPlace, 'partial' | 'store'>): Promise<void> {
  for (const { name, path, cut, parts, empty } of await leftIn(partial))
    if (empty || (!cut && (await store.size(path)) !== undefined)) await removeLeft(join(partial, name), parts);
}

/** Cut ones first, since the object may be theirs; an upload before a file of the same bytes, since it knows its parts. */
function byWorth(a: Left, b: Left): number {
  return (
    Number(b.cut) - Number(a.cut) || b.size - a.size || Number(b.parts !== undefined) - Number(a.parts !== undefined)
  );
}

async function leftIn(partial: string): Promise<readonly Left[]> {
  try {
    return await Array.fromAsync(walkLeft(partial));
  } catch (error) {
    throw storeError(error, 'list half-written objects', partial);
  }
}

async function* walkLeft(partial: string): AsyncGenerator<Left> {
  const folder = await opendir(partial).catch(ignoreAbsence);
  for await (const { name } of folder ?? []) {
    const file = join(partial, name);
    const known = readPartialName(name);
    const found = await lstat(file).catch(ignoreAbsence);
    if (known === undefined) {
      if (found?.isDirectory() && name.startsWith('gone-')) await removeUpload(file);
    } else if (found?.isFile()) yield { ...known, name, size: found.size };
    else if (found?.isDirectory()) {
      const staged = await stagedParts(file, known.path);
      const parts = contiguous(staged);
      const size = parts.reduce((sum, part) => sum + part.size, 0);
      yield { ...known, name, parts, size, ...(staged.length === 0 ? { empty: true } : {}) };
    }
  }
}

/** Says durably that what will stand under the path is not whole; the name that says it. */
async function cutOff(partial: string, { name, cut }: Left, path: string): Promise<string> {
  const said = cutName(name);
  try {
    if (!cut) await rename(join(partial, name), join(partial, said));
    await syncFolder(partial);
    return said;
  } catch (error) {
    throw storeError(error, 'publish', path);
  }
}

async function publishFile(place: UnfinishedPlace, path: string, name: string): Promise<Record<string, never>> {
  await linkOnce(join(place.partial, name), await place.target(path), path);
  return {};
}

async function publishParts(
  place: UnfinishedPlace,
  path: string,
  name: string,
): Promise<{ readonly parts: readonly StoredPart[] }> {
  const staged = contiguous(await stagedParts(join(place.partial, name), path));
  const writer = await place.writer(path);
  try {
    const parts = await joinParts(writer, path, staged);
    await writer.commit();
    return { parts };
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

async function removeLeft(file: string, parts: Left['parts']): Promise<void> {
  if (parts !== undefined) return removeUpload(file);
  try {
    await unlink(file);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw storeError(error, 'tidy', dirname(file));
  }
}
