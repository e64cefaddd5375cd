// What stat(2) says of a file, as a table has it (ECS' names below `file`) and as an archive has it.
import type { BigIntStats } from 'node:fs';
import type { Member } from '../../evidence/index.ts';

/** Size in bytes, mode as four octal digits, owner, inode, times of its content and of its inode. */
export function fileFields(stats: BigIntStats): Record<string, unknown> {
  return {
    size: Number(stats.size),
    mode: fileMode(stats.mode),
    uid: String(stats.uid),
    gid: String(stats.gid),
    inode: String(stats.ino),
    mtime: fileTime(stats.mtimeNs),
    ctime: fileTime(stats.ctimeNs),
  };
}

/** Times are nanoseconds since the epoch. */
export function memberFields(stats: BigIntStats): Pick<Member, 'mode' | 'uid' | 'gid' | 'mtime' | 'atime' | 'ctime'> {
  return {
    mode: Number(stats.mode & 0o7777n),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mtime: stats.mtimeNs,
    atime: stats.atimeNs,
    ctime: stats.ctimeNs,
  };
}

/** Permissions with set-user-ID, set-group-ID and sticky bit: "4755". */
export function fileMode(mode: bigint | number): string {
  return (Number(mode) & 0o7777).toString(8).padStart(4, '0');
}

/**
 * ISO 8601 of nanoseconds since the epoch; undefined beyond what a Date can say (the years 271821 before to 275760
 * after): some file systems keep times that no calendar has.
 */
export function fileTime(nanoseconds: bigint): string | undefined {
  const date = new Date(Number(nanoseconds / 1_000_000n));
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}
