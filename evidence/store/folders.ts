// Folders of a directory store: made durably, listed without following anything, files linked into them once.
import { type FileHandle, link, lstat, mkdir, open, opendir, stat, unlink } from 'node:fs/promises';
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

/** Another capture into the same store may take a folder away that is still empty; it is made again so often. */
const FOLDER_TRIES = 10;

/** One after the other from the top: Node's own `recursive` never comes back where a folder cannot be made, as in /proc. */
export async function makeFolder(folder: string): Promise<void> {
  const above = dirname(folder);
  for (let tries = 1; ; tries++) {
    try {
      if (await madeFolder(folder)) await syncFolder(above); // it is an entry of the one above it
      return;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || above === folder || tries === FOLDER_TRIES) throw error;
    }
    await makeFolder(above);
  }
}

/** False where it is there already. */
async function madeFolder(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { mode: 0o700 });
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST' && (await stat(folder)).isDirectory()) return false;
    throw error;
  }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Read ahead of verification: large enough that a disk streams, small enough that many files in parallel fit. */
const READ_BYTES = 256 * 1024;

/** Bytes from `start` up to, not including, `end`; each chunk has memory of its own. */
export async function* readHandle(
  handle: FileHandle,
  start = 0,
  end = Number.POSITIVE_INFINITY,
): AsyncGenerator<Uint8Array> {
  for (let position = start; position < end; ) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - position));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
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
