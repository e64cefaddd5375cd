// Opening files of a live, possibly hostile host: no symlink followed, nothing blocked on, no access time changed.
import { type BigIntStats, closeSync, constants, fstatSync, openSync, readlinkSync } from 'node:fs';
import { errnoOf, Refusal } from './errno.ts';
import { refuseBlocking } from './mount-of.ts';

/** open(2): O_PATH, not among Node's constants; the same number on x86-64 and arm64. */
const O_PATH = 0o10000000;
export const O_PATH_NOFOLLOW = O_PATH | constants.O_NOFOLLOW;
const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_DIRECTORY, O_NOATIME } = constants;

/**
 * Opens a file of procfs or sysfs for reading: the kernel made every folder on the way, only the last name could be a
 * link. The caller closes the descriptor. Throws the system's error.
 */
export function openKernelFile(path: string): number {
  return openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

/** Opens a folder that must not be a link, as the root of paths below it (`childPath`). */
export function openFolder(path: string): number {
  return openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
}

/** The path of `name` in the folder that is open as `fd`: Node's openat(2). */
export function childPath(fd: number, name: string): string {
  return `/proc/self/fd/${fd}/${name}`;
}

/** A regular file that is open for reading, with its status at that moment. */
export interface OpenFile {
  readonly fd: number;
  readonly stats: BigIntStats;
}

/**
 * Opens the regular file `path` below `root` component by component, so that no symlink below the root is followed.
 * What stands there is looked at through O_PATH before it is opened: opening a device or a FIFO already has effects.
 * Throws ELOOP or ENOTDIR where a link is on the way, and a Refusal for ".." and for anything but a regular file.
 */
export function openBelow(root: string, path: string): OpenFile {
  const pinned = pinBelow(root, path);
  try {
    return openPinned(pinned);
  } finally {
    closeSync(pinned);
  }
}

/**
 * Opens what a magic link of a process leads to ("exe", "fd/7"), `folder` being its /proc/PID. Undefined for anything
 * but a regular file. Throws a Refusal where the file's own file system could block whoever touches it.
 */
export function openMagicLink(folder: string, name: string): OpenFile | undefined {
  const path = `${folder}/${name}`;
  const pinned = openSync(path, O_PATH);
  try {
    refuseBlocking(pinned, readLink(path).toString('latin1'), [`${folder}/mountinfo`, '/proc/self/mountinfo']);
    return fstatSync(pinned).isFile() ? openPinned(pinned) : undefined;
  } finally {
    closeSync(pinned);
  }
}

/** An O_PATH descriptor of what stands at `path` below `root`, a link itself where the last component is one. */
export function pinBelow(root: string, path: string): number {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..')) {
    throw new Refusal('skipped', 'a path below a root must not contain ".."');
  }
  let fd = openSync(root, O_PATH | O_DIRECTORY);
  for (const [index, name] of names.entries()) {
    const parent = fd;
    try {
      fd = openSync(childPath(parent, name), O_PATH | O_NOFOLLOW | (index < names.length - 1 ? O_DIRECTORY : 0));
    } finally {
      closeSync(parent);
    }
  }
  return fd;
}

/** readlink(2) as raw bytes. */
export function readLink(path: string | Buffer): Buffer {
  return readlinkSync(path, { encoding: 'buffer' });
}

/** Opens the regular file that an O_PATH descriptor stands for. Throws a Refusal for anything else. */
export function openPinned(pinned: number): OpenFile {
  if (!fstatSync(pinned).isFile()) {
    throw new Refusal('skipped', 'not a regular file');
  }
  const fd = openWithoutAtime(`/proc/self/fd/${pinned}`);
  return { fd, stats: fstatSync(fd, { bigint: true }) };
}

/** O_NOATIME is for the file's owner and CAP_FOWNER only: EPERM says that we are neither. */
function openWithoutAtime(path: string): number {
  try {
    return openSync(path, O_RDONLY | O_NONBLOCK | O_NOATIME);
  } catch (error) {
    if (errnoOf(error) !== 'EPERM') throw error;
    return openSync(path, O_RDONLY | O_NONBLOCK);
  }
}
