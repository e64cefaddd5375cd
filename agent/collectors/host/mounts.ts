// The mount table of the host's first process: proc_pid_mountinfo(5).
import { MAX_MOUNTINFO, type MountLine, parseMountLine } from '../../host/mountinfo.ts';
import type { PartReader } from './parts.ts';

const MAX_MOUNTS = 5000;

export type Mount = Omit<MountLine, 'id' | 'parent'> & { readonly id: number; readonly parent: number };

/** `cut` is told how many were left out. */
export function mounts(read: PartReader, cut: (left: number) => void): readonly Mount[] {
  const text = read.proc('1/mountinfo', MAX_MOUNTINFO) ?? read.proc('self/mountinfo', MAX_MOUNTINFO) ?? '';
  const lines = text.split('\n').filter((line) => line !== '');
  if (lines.length > MAX_MOUNTS) cut(lines.length - MAX_MOUNTS);
  return lines.slice(0, MAX_MOUNTS).flatMap((line) => {
    const mount = parseMountLine(line);
    return mount === undefined ? [] : [{ ...mount, id: Number(mount.id), parent: Number(mount.parent) }];
  });
}
