// What is mounted where, as this process sees it, and which of that is not to be touched. proc_pid_mountinfo(5).
import { Refusal } from './errno.ts';
import { MAX_MOUNTINFO, type MountLine, mountLines } from './mountinfo.ts';
import { kernelReader } from './read.ts';

/** Whose server is a program or another machine: reading, and even asking for a file's size, can block for good. */
export const BLOCKING =
  /^(?:fuse|fuseblk|fuse\..*|nfs4?|cifs|smb3|9p|ceph|afs|ncpfs|autofs|virtiofs|lustre|gfs2|ocfs2)$/;
/** No files of anybody's: other collectors read what matters there. */
const KERNEL =
  /^(?:proc|sysfs|cgroup2?|debugfs|tracefs|securityfs|selinuxfs|bpf|configfs|pstore|efivarfs|devpts|mqueue|hugetlbfs|binfmt_misc|rpc_pipefs|nsfs|fusectl|nfsd)$/;

export interface Mount {
  readonly type: string;
  /** Even looking at it may never come back. */
  readonly blocking: boolean;
  /** The kernel makes what is in it. */
  readonly kernel: boolean;
}

export interface Mounts {
  /** What is mounted at exactly this path, one character a byte. */
  at(path: string): Mount | undefined;
}

/** Throws the system's errors, and a Refusal where the table is longer than MAX_MOUNTINFO. */
export function readMounts(mountinfo = '/proc/self/mountinfo'): Mounts {
  const { bytes, left } = kernelReader().read(mountinfo, MAX_MOUNTINFO);
  if (left > 0)
    throw new Refusal(
      'skipped',
      `more than ${MAX_MOUNTINFO} bytes of mountinfo: what the rest names may be a file system that never answers`,
    );
  const stacks = new Map<string, MountLine[]>();
  for (const mount of mountLines(bytes.toString('latin1'))) {
    const stack = stacks.get(mount.point);
    if (stack === undefined) stacks.set(mount.point, [mount]);
    else stack.push(mount);
  }
  const found = new Map<string, Mount>();
  for (const [point, stack] of stacks) found.set(point, mountOf(stack));
  return { at: (path) => found.get(path) };
}

/**
 * What several mounts at one point come to. The order of lines does not tell which is on top, since a mount that was
 * moved keeps its place: the one on top is no other's parent. What lies below it is not met on the way.
 */
function mountOf(stack: readonly MountLine[]): Mount {
  const covered = new Set(stack.map(({ parent }) => parent));
  const top = stack.findLast(({ id }) => !covered.has(id)) ?? stack.at(-1);
  const blocking = stack.find(({ id, type }) => !covered.has(id) && BLOCKING.test(type));
  const type = (blocking ?? top)?.type ?? '';
  return { type, blocking: blocking !== undefined, kernel: top !== undefined && KERNEL.test(top.type) };
}
