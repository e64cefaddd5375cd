// Puts an object together of its parts: exactly those that were named, read back and hashed on the way, put once.
import { ImpoundError } from '../../errors.ts';
import type { StoredPart } from '../../format/record.ts';
import type { DirectoryWriter } from '../directory-writer.ts';
import { wrongPart } from '../upload/limits.ts';
import type { Names } from '../upload/sender.ts';
import type { Held } from './held.ts';
import { joinParts, removeUpload, type StagedPart, stagedParts } from './parts.ts';

export interface Completion {
  readonly path: string;
  readonly upload: string;
  /** Of the upload. */
  readonly folder: string;
  /** All, in order. */
  readonly parts: readonly StoredPart[];
  readonly held: Held;
  writer(path: string): Promise<DirectoryWriter>;
}

/** A directory has no names of its own for an object. */
const NAMES: Names = {};

/** Asked again after it succeeded, it answers the same. Throws `object-exists`, `store-failed`, `object-missing`. */
export async function completeUpload(completion: Completion): Promise<Names> {
  const { folder, path, parts, held } = completion;
  let staged: readonly StagedPart[];
  try {
    staged = await stagedParts(folder, path);
  } catch (error) {
    // an upload that is gone was completed by a call whose answer was lost
    if (isMissing(error) && (await seenJoined(held, path, parts)) !== undefined) return NAMES;
    throw error;
  }
  // the same between the object and the end of its upload
  if ((await seenJoined(held, path, parts)) === undefined) await join(completion, staged);
  await removeUpload(folder);
  return NAMES;
}

/** Undefined where nothing stands there; throws `object-exists` where that is something else. */
export async function seenJoined(held: Held, path: string, parts: readonly StoredPart[]): Promise<Names | undefined> {
  const same = await held.joined(path, parts);
  if (same === false) throw objectExists(path);
  return same === undefined ? undefined : NAMES;
}

/** The same of a whole object. */
export async function seenObject(held: Held, path: string, wanted: StoredPart): Promise<Names | undefined> {
  const same = await held.object(path, wanted);
  if (same === false) throw objectExists(path);
  return same === undefined ? undefined : NAMES;
}

async function join(completion: Completion, staged: readonly StagedPart[]): Promise<void> {
  const { path, parts, held, writer: open } = completion;
  assertStaged(completion, staged);
  const writer = await open(path);
  try {
    await joinParts(writer, path, staged, parts);
    held.rememberObject(path, { ...(await writer.commit()), parts });
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/** Before 16 GiB are copied: one too many is as wrong as one too few. */
function assertStaged({ path, upload, parts, held }: Completion, staged: readonly StagedPart[]): void {
  const byNumber = new Map(staged.map((part) => [part.number, part]));
  for (const [index, wanted] of parts.entries()) {
    const number = index + 1;
    const there = byNumber.get(number);
    if (there === undefined) throw wrongPart(path, number, 'was not stored');
    if (there.size !== wanted.size || held.isKnownOther(upload, number, wanted))
      throw wrongPart(path, number, 'is not the one that was named');
  }
  const more = staged.find(({ number }) => number > parts.length);
  if (more !== undefined) throw wrongPart(path, more.number, 'is not the one that was named');
}

function objectExists(path: string): ImpoundError {
  const message = `${path} is in the store already; nothing stored is ever changed`;
  return new ImpoundError('object-exists', message, { operation: 'commit', thing: path });
}

function isMissing(error: unknown): boolean {
  return error instanceof ImpoundError && error.code === 'object-missing';
}
