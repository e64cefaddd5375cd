// Mount tables of the machine: one process' mountinfo for each mount namespace, see proc_pid_mountinfo(5).
import { closeSync } from 'node:fs';
import type { Host } from '../../host/host.ts';
import { chunksOf, openFile, unreadable } from '../../host/kernel-file.ts';
import { type MountLine, parseMountLine } from '../../host/mountinfo.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import { lineSplitter } from './lines.ts';

export interface Mount extends MountLine {
  /** A process whose mount table shows it. */
  readonly pid: number;
}

const TABLE_BYTES = 16 * 1024 * 1024;

/**
 * Mounts that `wanted` picks, from the table of one process of every mount namespace, PID 1's first. What pins a
 * namespace in a private mount namespace, or mounts a cgroup hierarchy there, is found too.
 */
export function findMounts(
  host: Host,
  processes: readonly ProcessSummary[],
  wanted: (mount: MountLine) => boolean,
): { readonly mounts: readonly Mount[]; readonly unread: number } {
  const mounts: Mount[] = [];
  const seen = new Set<number>();
  let unread = 0;
  const namespaces = new Map(processes.map(({ pid, mntns }) => [pid, mntns]));
  for (const pid of new Set([1, ...namespaces.keys()])) {
    const namespace = namespaces.get(pid);
    if (namespace !== undefined && seen.has(namespace)) continue;
    const opened = openFile(`${host.proc}/${pid}/mountinfo`);
    if (opened.kind === 'unreadable') {
      if (opened.reason === 'denied') unread++;
      continue;
    }
    try {
      const lines = lineSplitter({
        line(text) {
          const mount = parseMountLine(text);
          if (mount !== undefined && wanted(mount)) mounts.push({ ...mount, pid });
        },
        end() {},
      });
      for (const chunk of chunksOf(opened.fd, TABLE_BYTES)) lines.push(chunk);
      lines.end();
      if (namespace !== undefined) seen.add(namespace);
    } catch (error) {
      if (unreadable(error).reason !== 'vanished') unread++;
    } finally {
      closeSync(opened.fd);
    }
  }
  return { mounts, unread };
}
