// Which file system an open descriptor is on, asked of the kernel alone: a FUSE or network one may never answer.
import { readFileSync } from 'node:fs';
import { Refusal } from './errno.ts';
import { MAX_MOUNTINFO, mountLines } from './mountinfo.ts';
import { BLOCKING } from './mounts.ts';
import { kernelReader } from './read.ts';

/** Internal mounts of the kernel stand in no mountinfo. */
const INTERNAL = /^\/(?:memfd:|SYSV|dev\/zero|anon_hugepage)/;

/**
 * Throws a Refusal where the file that `fd` (O_PATH) stands for could block whoever touches it. `mountinfos` are looked
 * at in order: the process's own, then ours. `target` is the text of the link it was opened through.
 */
export function refuseBlocking(fd: number, target: string, mountinfos: readonly string[]): void {
  const id = mountIdOf(fd);
  for (const mountinfo of mountinfos) {
    const type = id === undefined ? undefined : mountType(mountinfo, id);
    if (type === undefined) continue;
    if (!BLOCKING.test(type)) return;
    throw new Refusal('skipped', `it is on a file system of type ${type.slice(0, 40)}, which may never answer`);
  }
  if (INTERNAL.test(target)) return;
  throw new Refusal(
    'skipped',
    'its file system is mounted nowhere that can be seen, and may be one that never answers',
  );
}

/**
 * The mount that `fd` (O_PATH) is on, once it is known to answer: the one its folder is on, `known`, or one that
 * `mountinfo` names now. A descriptor keeps its mount and that mount's number, so that no later mount passes for it.
 * Throws a Refusal otherwise.
 */
export function answeringMount(fd: number, mountinfo: string, known?: string): string | undefined {
  const id = mountIdOf(fd);
  if (id === undefined || id !== known) refuseBlocking(fd, '', [mountinfo]);
  return id;
}

function mountIdOf(fd: number): string | undefined {
  return /^mnt_id:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
}

function mountType(mountinfo: string, id: string): string | undefined {
  let text: string;
  try {
    text = kernelReader().read(mountinfo, MAX_MOUNTINFO).bytes.toString('latin1');
  } catch {
    return undefined; // the process has ended; the next one may tell
  }
  for (const mount of mountLines(text)) if (mount.id === id) return mount.type;
  return undefined;
}
