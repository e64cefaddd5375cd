// Parts of an object while it is uploaded into a directory: a folder beside the half-written objects, a file each, put once.
import { constants } from 'node:fs';
import { lstat, open, opendir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoOf, ImpoundError } from '../../errors.ts';
import type { StoredPart } from '../../format/record.ts';
import { nonce } from '../../id.ts';
import { sha256Stream } from '../../stream/hash.ts';
import { DirectoryWriter } from '../directory-writer.ts';
import { ignoreAbsence, makeFolder, readHandle } from '../folders.ts';
import type { ObjectWriter } from '../store.ts';
import { storeError } from '../store-error.ts';
import { wrongPart } from '../upload/limits.ts';
import { partialName } from './names.ts';

const UPLOAD = /^[0-9a-f]{32}$/;
const PART = /^\d{5}$/;
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW;

export interface StagedPart {
  readonly number: number;
  readonly size: number;
  readonly file: string;
}

/** The folder of a new upload, durable; its id. */
export async function stageUpload(partial: string, path: string): Promise<string> {
  const upload = nonce();
  try {
    await makeFolder(join(partial, partialName(path, upload)));
    return upload;
  } catch (error) {
    throw storeError(error, 'begin upload', path);
  }
}

/** Throws `object-missing` for what is no id. */
export function uploadFolder(partial: string, path: string, upload: string): string {
  if (!UPLOAD.test(upload)) throw noSuchUpload(path);
  return join(partial, partialName(path, upload));
}

/** Appears as part `number` at `commit`, which throws `object-exists` where that is there. */
export async function partWriter(folder: string, path: string, number: number): Promise<DirectoryWriter> {
  const target = partFile(folder, number);
  const temporary = `${target}.${nonce()}`;
  try {
    return new DirectoryWriter(await open(temporary, 'wx', 0o600), temporary, target, path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') throw noSuchUpload(path, error);
    throw storeError(error, 'stage part', path);
  }
}

/** By number. Throws `object-missing` where there is no such upload. */
export async function stagedParts(folder: string, path: string): Promise<readonly StagedPart[]> {
  try {
    const parts: StagedPart[] = [];
    for await (const { name } of await opendir(folder)) {
      if (!PART.test(name)) continue;
      const file = join(folder, name);
      parts.push({ number: Number(name), size: (await lstat(file)).size, file });
    }
    return parts.sort((a, b) => a.number - b.number);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') throw noSuchUpload(path, error);
    throw storeError(error, 'list parts', path);
  }
}

/** Those before the first that is missing. */
export function contiguous(parts: readonly StagedPart[]): readonly StagedPart[] {
  const gap = parts.findIndex(({ number }, index) => number !== index + 1);
  return gap === -1 ? parts : parts.slice(0, gap);
}

/** Undefined where the upload has none of this number; throws `object-missing` where there is no such upload. */
export async function stagedPart(folder: string, path: string, number: number): Promise<StagedPart | undefined> {
  const file = partFile(folder, number);
  const found = await lstat(file).catch(ignoreAbsence);
  if (found !== undefined) return { number, size: found.size, file };
  if ((await lstat(folder).catch(ignoreAbsence)) === undefined) throw noSuchUpload(path);
  return undefined;
}

/** SHA-256 of what is on the disk, given on to `writer` where there is one. */
export async function readPart({ file }: StagedPart, writer?: ObjectWriter): Promise<string> {
  const handle = await open(file, READ_FLAGS);
  const digest = sha256Stream();
  try {
    for await (const chunk of readHandle(handle)) {
      await digest.update(chunk);
      await writer?.write(chunk);
    }
    return await digest.hex();
  } catch (error) {
    digest.abandon();
    throw storeError(error, 'read part', basename(file));
  } finally {
    await handle.close();
  }
}

/** Writes the parts one after the other; each must have the digest that `wanted` names, where that is given. */
export async function joinParts(
  writer: ObjectWriter,
  path: string,
  parts: readonly StagedPart[],
  wanted?: readonly StoredPart[],
): Promise<readonly StoredPart[]> {
  const joined: StoredPart[] = [];
  for (const part of parts) {
    const sha256 = await readPart(part, writer);
    if (wanted !== undefined && wanted[part.number - 1]?.sha256 !== sha256)
      throw wrongPart(path, part.number, 'is not the one that was named');
    joined.push({ size: part.size, sha256 });
  }
  return joined;
}

/** Of a name that no upload has: what a crash leaves of it is no upload any more. */
export async function removeUpload(folder: string): Promise<void> {
  const gone = join(dirname(folder), `gone-${nonce()}`);
  try {
    await rename(folder, gone);
    await rm(gone, { recursive: true, force: true });
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw storeError(error, 'tidy', folder);
  }
}

function partFile(folder: string, number: number): string {
  return join(folder, String(number).padStart(5, '0'));
}

function noSuchUpload(path: string, cause?: unknown): ImpoundError {
  return new ImpoundError('object-missing', `${path}: no such upload`, { operation: 'upload', thing: path, cause });
}
