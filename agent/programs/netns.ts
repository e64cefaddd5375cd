// A descriptor that stands for a network namespace, taken so that nothing is opened that could block.
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';

/** A network namespace, named by a way to it; the inode says which it must be. */
export interface Place {
  /** "/proc/123/ns/net", "/proc/123/fd/7" or a mount's "/run/netns/blue", as this process sees it. */
  readonly path: string;
  readonly inode: number;
}

/** open(2), not among Node's constants. Links are followed: magic ones are what is meant, and the inode is checked. */
const O_PATH = 0o10000000;

/**
 * Keeps the namespace until it is closed. Nothing is opened: what the path leads to may be a FIFO by now. Undefined
 * where it is not that namespace any more: all namespaces are on one file system of the kernel's, see namespaces(7).
 */
export function pinNetns({ path, inode }: Place): number | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, O_PATH);
    const { dev, ino } = fstatSync(fd);
    if (ino === inode && dev === statSync('/proc/self/ns/net').dev) return fd;
  } catch {
    // gone, or not to be entered
  }
  if (fd !== undefined) closeSync(fd);
  return undefined;
}
