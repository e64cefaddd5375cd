// Who holds a socket that appeared while flows were watched: the walk over /proc was before it.
import { readdirSync } from 'node:fs';
import type { Host } from '../../host/host.ts';
import { unreadable } from '../../host/kernel-file.ts';
import { listNumbers } from '../../host/list.ts';
import { readKernelText } from '../../host/read.ts';
import { parseStat } from '../../host/walk/stat.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import { linkOf } from '../sockets/descriptors.ts';
import { netnsOf } from '../sockets/namespaces.ts';
import { ownersByInode } from '../sockets/owners.ts';

export interface FlowOwner {
  readonly pid: number;
  readonly startTicks?: string | undefined;
  readonly name?: string | undefined;
  readonly executable?: string | undefined;
  readonly containerId?: string | undefined;
  readonly fd: number;
}

export interface OwnerSearch {
  known(inode: number): readonly FlowOwner[];
  /** Looks through descriptors for these sockets, for a bounded time; what was not found may be found the next time. */
  find(wanted: ReadonlySet<number>): ReadonlyMap<number, readonly FlowOwner[]>;
}

/** Time in one round, without a turn for others. */
const SEARCH_MILLISECONDS = 50;
const MAX_PIDS = 65_536;
const MAX_OWNERS = 64;

/** `candidates` are the processes of the walk that are looked through; those that are new in `netns` come first. */
export function ownerSearch(
  host: Host,
  processes: readonly ProcessSummary[],
  candidates: readonly ProcessSummary[],
  netns: ReadonlySet<number>,
): OwnerSearch {
  const atStart = ownersByInode(processes);
  const listed = new Set(processes.map(({ pid }) => pid));
  const summaries = new Map(processes.map((process) => [process.pid, process]));
  let next = 0;
  return {
    known: (inode) => (atStart.get(inode) ?? []).slice(0, MAX_OWNERS).map(({ process, fd }) => ownerOf(process, fd)),
    find(wanted) {
      const found = new Map<number, FlowOwner[]>();
      const deadline = performance.now() + SEARCH_MILLISECONDS;
      const look = (pid: number): void => {
        for (const { fd, inode } of socketsOf(host, pid)) {
          if (!wanted.has(inode)) continue;
          const list = found.get(inode) ?? [];
          if (list.length < MAX_OWNERS) list.push(described(host, pid, fd, summaries.get(pid)));
          found.set(inode, list);
        }
      };
      for (const pid of newPids(host, listed)) {
        if (performance.now() > deadline) return found;
        if (netns.has(netnsOf(host, pid) ?? -1)) look(pid);
      }
      // goes on where the last round's time was over
      for (let tried = 0; tried < candidates.length && performance.now() <= deadline; tried++) {
        const pid = candidates[next++ % candidates.length]?.pid;
        if (pid !== undefined) look(pid);
      }
      return found;
    },
  };
}

function newPids(host: Host, listed: ReadonlySet<number>): readonly number[] {
  try {
    return listNumbers(host.proc, MAX_PIDS).numbers.filter((pid) => !listed.has(pid));
  } catch {
    return []; // the owners are then not known, and the row says so by having none
  }
}

function* socketsOf(host: Host, pid: number): Generator<{ readonly fd: number; readonly inode: number }> {
  const folder = `${host.proc}/${pid}/fd`;
  let names: readonly string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    unreadable(error);
    return;
  }
  for (const name of names) {
    const inode = /^socket:\[(\d{1,15})\]$/.exec(linkOf(`${folder}/${name}`) ?? '')?.[1];
    if (inode !== undefined) yield { fd: Number(name), inode: Number(inode) };
  }
}

/** A PID may be another process's by now: the summary of the walk counts only where the start time is the same. */
function described(host: Host, pid: number, fd: number, summary: ProcessSummary | undefined): FlowOwner {
  try {
    const stat = parseStat(readKernelText(`${host.proc}/${pid}/stat`));
    if (summary !== undefined && stat?.startTicks === summary.startTicks) return ownerOf(summary, fd);
    const name = readKernelText(`${host.proc}/${pid}/comm`, 64);
    return { pid, startTicks: stat?.startTicks, name, executable: linkOf(`${host.proc}/${pid}/exe`), fd };
  } catch {
    return { pid, fd }; // it has ended since
  }
}

function ownerOf({ pid, startTicks, comm, exe, container }: ProcessSummary, fd: number): FlowOwner {
  return { pid, startTicks, name: comm, executable: exe, containerId: container?.containerId, fd };
}
