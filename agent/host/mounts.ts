// What is mounted where, as this process sees it, and which of that is not to be touched. proc_pid_mountinfo(5).
import { kernelReader } from './read.ts';

/** Whose server is a program or another machine: reading, and even asking for a file's size, can block for good. */
export const BLOCKING =
  /^(?:fuse|fuseblk|fuse\..*|nfs4?|cifs|smb3|9p|ceph|afs|ncpfs|autofs|virtiofs|lustre|gfs2|ocfs2)$/;
/** No files of anybody's: other collectors read what matters there. */
const KERNEL =
  /^(?:proc|sysfs|cgroup2?|debugfs|tracefs|securityfs|selinuxfs|bpf|configfs|pstore|efivarfs|devpts|mqueue|hugetlbfs|binfmt_misc|rpc_pipefs|nsfs|fusectl|nfsd)$/;

export const MAX_MOUNTINFO = 8 * 1024 * 1024;

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

/** Throws the system's errors. */
export function readMounts(mountinfo = '/proc/self/mountinfo'): Mounts {
  const found = new Map<string, Mount>();
  for (const line of kernelReader().read(mountinfo, MAX_MOUNTINFO).bytes.toString('latin1').split('\n')) {
    const [, point = '', type = ''] = /^\d+ \d+ \S+ \S+ (\S+) .*? - (\S+) /.exec(line) ?? [];
    if (point === '') continue;
    // a later line is a later mount, which hides the earlier one
    found.set(unescaped(point), { type, blocking: BLOCKING.test(type), kernel: KERNEL.test(type) });
  }
  return { at: (path) => found.get(path) };
}

/** Blanks, tabs, newlines and backslashes stand as three octal digits. */
function unescaped(point: string): string {
  return point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
