// Folders of a directory store: made durably, listed without following anything, files linked into them once.
import { link, lstat, mkdir, open, opendir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, ImpoundError } from '../errors.ts';
import type { StoreEntry } from './store.ts';
import { storeError } from './store-error.ts';

export async function publish(temporary: string, target: string, path: string): Promise<void> {
  await linkOnce(temporary, target, path);
  await unlink(temporary);
}

/** link(2) fails where the name is taken, which rename(2) would replace. */
export async function linkOnce(temporary: string, target: string, path: string): Promise<void> {
  try {
    await link(temporary, target);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw storeError(error, 'commit', path);
    throw new ImpoundError('object-exists', `${path} is in the store already; nothing stored is ever changed`, {
      operation: 'commit',
      thing: path,
      cause: error,
    });
  }
  await syncFolder(dirname(target));
}

export async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  // every folder that was made is an entry of the one above it
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made));
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Names that are no UTF-8 cannot be opened by the text that Node makes of them: they are told, and not followed. */
export async function* walk(folder: string, prefix: string): AsyncGenerator<StoreEntry> {
  for await (const item of await opendir(folder)) {
    const path = prefix === '' ? item.name : `${prefix}/${item.name}`;
    const below = join(folder, item.name);
    const found = await lstat(below).catch(ignoreAbsence);
    if (found?.isDirectory()) yield* walk(below, path);
    else if (found?.isFile()) yield { path, kind: 'file', size: found.size };
    else yield { path, kind: found?.isSymbolicLink() ? 'link' : 'other', size: 0 };
  }
}

export function ignoreAbsence(error: unknown): undefined {
  if (errnoOf(error) !== 'ENOENT') throw error;
}
