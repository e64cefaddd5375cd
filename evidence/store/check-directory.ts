// Tries on a directory all that evidence needs of it, in a folder of its own that goes again.
import { link, lstat, open, rm, rmdir, stat, statfs } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { describeError, errnoOf, ImpoundError } from '../errors.ts';
import { nonce } from '../id.ts';
import { type Check, type CheckFinding, failed, ok, runChecks, type StoreCheck, warning } from './check.ts';
import { linkOnce, makeFolder } from './folders.ts';
import { storeError } from './store-error.ts';

export interface DirectoryCheckOptions {
  /** The store's folder; it need not be there. */
  readonly folder: string;
  /** Where the file system of the machine is mounted that captures are about. */
  readonly root?: string;
  /** Bytes below which free space is a warning; default: this machine's memory. */
  readonly enough?: number;
}

interface Probe {
  readonly folder: string;
  readonly root: string;
  readonly enough: number;
  /** Of our own, with these two files. */
  readonly own: string;
  readonly file: string;
  readonly linked: string;
}

const GIB = 1024 ** 3;
const ANOTHER_FILE_SYSTEM = 'take a disk with ext4, XFS or Btrfs: vfat, exFAT and some network shares cannot do it';

export async function checkDirectory(options: DirectoryCheckOptions): Promise<StoreCheck> {
  const { folder, root = '/', enough = totalmem() } = options;
  const own = join(folder, '.impound-check', nonce());
  const probe = { folder, root, enough, own, file: join(own, 'object'), linked: join(own, 'linked') };
  const above = await firstThere(folder);
  const checked = await runChecks({ store: folder, checks: CHECKS, context: probe, explain, left: () => [] });
  // what could not be made is not there to be removed, and anything else is told
  await rm(own, { recursive: true, force: true }).catch(() => undefined);
  if (await isThere(own)) return { ...checked, left: [`${own}, which could not be removed`] };
  // what was made on the way to it goes too, as far as nobody has put anything there meanwhile
  for (let made = dirname(own); made.length > above.length; made = dirname(made)) if (!(await removed(made))) break;
  return checked;
}

const CHECKS: readonly Check<Probe>[] = [
  {
    name: 'folder',
    tried: 'mkdir(2), fsync(2) of the folder above',
    needed: true,
    run: async ({ own }) => {
      await makeFolder(own);
      return ok('folders can be made in it');
    },
  },
  {
    name: 'write',
    tried: 'write(2), fsync(2)',
    needed: true,
    after: ['folder'],
    run: async ({ file }) => {
      const handle = await open(file, 'wx', 0o600);
      try {
        await handle.writeFile('"impound check" tried here whether this folder can take evidence. No evidence.\n');
        await handle.sync();
      } finally {
        await handle.close();
      }
      return ok('a file is written and on the disk');
    },
  },
  { name: 'write only once', tried: 'link(2) on a name that is taken', needed: true, after: ['write'], run: linkTwice },
  { name: 'private', tried: 'stat(2) of what was made', needed: false, after: ['write'], run: seeModes },
  { name: 'free space', tried: 'statfs(2)', needed: false, after: ['folder'], run: seeSpace },
  { name: 'another disk', tried: 'stat(2)', needed: false, after: ['folder'], run: seeDisk },
];

async function linkTwice({ file, linked }: Probe): Promise<CheckFinding> {
  try {
    await link(file, linked);
  } catch (error) {
    return failed(`the file system has no hard links (${errnoOf(error) ?? describeError(error)})`, ANOTHER_FILE_SYSTEM);
  }
  try {
    await linkOnce(file, linked, 'the probe');
  } catch (error) {
    if (error instanceof ImpoundError && error.code === 'object-exists') return ok('the second was refused (EEXIST)');
    throw error;
  }
  return failed('a second write to the same name was taken: evidence could be overwritten', ANOTHER_FILE_SYSTEM);
}

async function seeModes({ own, file }: Probe): Promise<CheckFinding> {
  const [folderMode, fileMode] = [(await lstat(own)).mode, (await lstat(file)).mode].map((mode) => mode & 0o777);
  if (folderMode === 0o700 && fileMode === 0o600) return ok('only its owner reads what is stored (0700, 0600)');
  return warning(
    `others may read what is stored (${octal(folderMode)}, ${octal(fileMode)})`,
    'mount it for one user only (umask=077), or encrypt: --recipient',
  );
}

async function seeSpace({ folder, enough }: Probe): Promise<CheckFinding> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const seen = `${(free / GIB).toFixed(1)} GiB free`;
  if (free >= enough) return ok(seen);
  return warning(
    `${seen}, less than the ${(enough / GIB).toFixed(1)} GiB of memory here`,
    'make room, or capture with --profile quick',
  );
}

async function seeDisk({ folder, root }: Probe): Promise<CheckFinding> {
  if ((await stat(folder)).dev !== (await stat(root)).dev) return ok("it is not on this machine's own disk");
  return warning(
    "it lies on this machine's own disk: to store there overwrites what was deleted",
    'where this machine is the suspect, take another disk, or a store in S3',
  );
}

function explain(error: unknown): CheckFinding {
  const { message, code } = storeError(error, 'check', 'the folder');
  const remedies: Readonly<Record<string, string>> = {
    'store-denied': 'let this account write there (root captures as root), or remount it for writing',
    'store-full': 'make room, or take another disk',
    'store-not-directory': 'name a folder',
  };
  return failed(message, remedies[code] ?? ANOTHER_FILE_SYSTEM);
}

function octal(mode: number | undefined): string {
  return (mode ?? 0).toString(8).padStart(4, '0');
}

/** The folder itself, or the nearest above it that is there. */
async function firstThere(folder: string): Promise<string> {
  return (await isThere(folder)) || dirname(folder) === folder ? folder : firstThere(dirname(folder));
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function removed(folder: string): Promise<boolean> {
  return rmdir(folder).then(
    () => true,
    () => false,
  );
}
