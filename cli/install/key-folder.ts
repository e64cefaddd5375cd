// The folder of a cluster's keys, on the machine of whoever administers it: theirs alone, its files written whole or not.
import type { Stats } from 'node:fs';
import { open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, errnoOf, ImpoundError, makeFolder } from '../../evidence/index.ts';

/** Of group and others. */
const OTHERS = 0o077;

export interface KeyFolder {
  readonly path: string;
  file(name: string): string;
  /** Undefined where it is not there; throws `key-unsuitable` for a file that somebody else may read. */
  read(name: string): Promise<string | undefined>;
  /** 0600, in the place of the one before. */
  write(name: string, text: string): Promise<void>;
}

/** Made (0700) where it is not there. Throws `key-unsuitable` where somebody else may look into it, `key-unwritable`. */
export async function openKeyFolder(path: string): Promise<KeyFolder> {
  try {
    await makeFolder(path);
  } catch (cause) {
    const message = `the folder of the keys, ${path}, cannot be made: ${describeError(cause)}; name another with --keys DIR`;
    throw new ImpoundError('key-unwritable', message, { operation: 'make keys', thing: path, cause });
  }
  assertPrivate(path, await stat(path), 'chmod 700');
  const file = (name: string): string => join(path, name);
  return {
    ...{ path, file },
    async read(name) {
      try {
        assertPrivate(file(name), await stat(file(name)), 'chmod 600');
        return await readFile(file(name), 'utf8');
      } catch (cause) {
        if (errnoOf(cause) === 'ENOENT') return undefined;
        if (cause instanceof ImpoundError) throw cause;
        const message = `cannot read ${file(name)}: ${describeError(cause)}`;
        throw new ImpoundError('key-unreadable', message, { operation: 'read key', thing: file(name), cause });
      }
    },
    async write(name, text) {
      try {
        await replace(file(name), text);
      } catch (cause) {
        const message = `cannot write ${file(name)}: ${describeError(cause)}`;
        throw new ImpoundError('key-unwritable', message, { operation: 'write key', thing: file(name), cause });
      }
    },
  };
}

async function replace(path: string, text: string): Promise<void> {
  const beside = `${path}.${process.pid}.new`;
  const handle = await open(beside, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(beside, path);
}

/** Who may write to it could put another key there; who may read it has the keys. */
function assertPrivate(path: string, { mode, uid }: Stats, remedy: string): void {
  const refuse = (message: string): ImpoundError =>
    new ImpoundError('key-unsuitable', message, { operation: 'read key', thing: path });
  if ((mode & OTHERS) !== 0)
    throw refuse(
      `${path} has mode ${(mode & 0o777).toString(8).padStart(4, '0')}, so that others may read keys or put theirs there: ${remedy} ${path}, and think about who may have read them`,
    );
  const own = process.geteuid?.();
  if (own !== undefined && uid !== own)
    throw refuse(
      `${path} belongs to user ${uid}, not to you (${own}): keys are kept in a folder of your own (--keys DIR)`,
    );
}
