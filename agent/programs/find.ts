// Where the listed programs are: in trusted folders only, and only where nobody but root can have changed them.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { ProgramName } from './list.ts';

export const TRUSTED_FOLDERS: readonly string[] = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** The program's file, or why there is none that may be run. */
export type Found =
  | { readonly kind: 'found'; readonly path: string }
  | { readonly kind: 'missing'; readonly why: string };

export async function findProgram(name: ProgramName, folders: readonly string[] = TRUSTED_FOLDERS): Promise<Found> {
  let why = `${name} is not in ${folders.join(', ')}`;
  for (const folder of folders) {
    try {
      // the name that was asked for is kept: one file may be several programs, told apart by the name they are run by
      const path = join(folder, name);
      const target = await realpath(path);
      const changeable = await changeableByOthers([target, dirname(target)]);
      if (changeable === undefined) return { kind: 'found', path };
      why = `${changeable} belongs to, or can be changed by, others than root: ${name} was not run`;
    } catch {
      // not in this folder
    }
  }
  return { kind: 'missing', why };
}

async function changeableByOthers(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const { uid, mode } = await stat(path);
    if (uid !== 0 || (mode & 0o022) !== 0) return path;
  }
  return undefined;
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
