// Where the listed programs are: in trusted folders only, and only where nobody but root can have changed them.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readlink, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { errnoOf } from '../../evidence/index.ts';
import type { ProgramName } from './list.ts';

export const TRUSTED_FOLDERS: readonly string[] = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];
/** As many links as the kernel follows, see path_resolution(7). */
const MAX_LINKS = 40;
const STICKY = 0o1000;
const WRITABLE_BY_OTHERS = 0o022;

/** The program's file, or why there is none that may be run. */
export type Found =
  | { readonly kind: 'found'; readonly path: string }
  | { readonly kind: 'missing'; readonly why: string };

/**
 * The first that may be run. The name that was asked for is kept: one file may be several programs, told apart by the
 * name they are run by. Never rejects.
 */
export async function findProgram(name: ProgramName, folders: readonly string[] = TRUSTED_FOLDERS): Promise<Found> {
  let why = `${name} is not in ${folders.join(', ')}`;
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      const changeable = await changeableByOthers(path);
      if (changeable === undefined) return { kind: 'found', path };
      why = `${changeable} belongs to, or can be changed by, others than root: ${name} was not run`;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno !== 'ENOENT' && errno !== 'ENOTDIR') why = `${path} could not be examined: ${errno ?? 'failed'}`;
    }
  }
  return { kind: 'missing', why };
}

/** The first of the file, the links that lead to it and all folders above them that others than root can change. */
async function changeableByOthers(path: string): Promise<string | undefined> {
  let current = path;
  for (let links = 0; links < MAX_LINKS; links++) {
    const folder = await realpath(dirname(current));
    for (let above = folder; ; above = dirname(above)) {
      if (await isChangeable(above)) return above;
      if (above === dirname(above)) break;
    }
    current = join(folder, basename(current));
    if (!(await lstat(current)).isSymbolicLink()) return (await isChangeable(current)) ? current : undefined;
    current = resolve(folder, await readlink(current));
  }
  throw Object.assign(new Error('too many links'), { code: 'ELOOP' });
}

/** In a sticky folder (/tmp) others can add names and not replace root's. */
async function isChangeable(path: string): Promise<boolean> {
  const stats = await stat(path);
  if (stats.uid !== 0) return true;
  return (stats.mode & WRITABLE_BY_OTHERS) !== 0 && !(stats.isDirectory() && (stats.mode & STICKY) !== 0);
}

/** Rejects with the system's error. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
