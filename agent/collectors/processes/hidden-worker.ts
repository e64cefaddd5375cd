// Worker thread: looks for processes that a listing of /proc leaves out, with synchronous calls.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { listNumbers } from '../../host/list.ts';
import { MAX_MOUNTINFO, mountLines } from '../../host/mountinfo.ts';
import { readKernelText } from '../../host/read.ts';

export interface HiddenOrder {
  readonly proc: string;
  readonly sys: string;
  /** Numbers to try at most, from 1. */
  readonly numbers: number;
  readonly milliseconds: number;
}

export interface HiddenFindings {
  readonly listed: number;
  readonly pidMax: number;
  /** Highest number that was tried. */
  readonly probed: number;
  /** Distinct PIDs in all cgroup.procs files. */
  readonly inCgroups: number;
  readonly cgroups: number;
  /** cgroups that were seen and not looked into, beyond the bound. */
  readonly cgroupsLeft: number;
  readonly hidden: readonly { readonly pid: number; readonly seen: readonly string[] }[];
}

const MAX_PIDS = 4_194_304;
const MAX_CGROUPS = 50_000;
const DEFAULT_PID_MAX = 32_768;

Error.stackTraceLimit = 0;
parentPort?.postMessage(search(workerData as HiddenOrder));

function search(order: HiddenOrder): HiddenFindings {
  const listed = new Set(listNumbers(order.proc, MAX_PIDS).numbers);
  const cgroups = cgroupMembers(join(order.sys, 'fs/cgroup'));
  const candidates = new Map<number, string[]>();
  for (const pid of cgroups.members.keys()) if (!listed.has(pid)) candidates.set(pid, ['cgroup.procs']);
  const pidMax = Math.min(pidMaxOf(order.proc), MAX_PIDS);
  const until = performance.now() + order.milliseconds;
  let probed = 0;
  for (let pid = 1; pid <= Math.min(pidMax, order.numbers); pid++) {
    if (pid % 1024 === 0 && performance.now() > until) break;
    probed = pid;
    if (listed.has(pid) || !isProcess(order.proc, pid)) continue;
    candidates.set(pid, [...(candidates.get(pid) ?? []), 'its number']);
  }
  // a process that was born since the listing is in a second one; one that has ended is seen nowhere any more
  const again = new Set(candidates.size === 0 ? [] : listNumbers(order.proc, MAX_PIDS).numbers);
  const hidden = [...candidates].flatMap(([pid, seen]) => {
    const there = isProcess(order.proc, pid) || cgroups.stillIn(pid);
    return there && !again.has(pid) ? [{ pid, seen }] : [];
  });
  for (const pid of mountedOver(order.proc)) hidden.push({ pid, seen: ['a mount over its folder in /proc'] });
  return {
    listed: listed.size,
    pidMax,
    probed,
    inCgroups: cgroups.members.size,
    cgroups: cgroups.folders,
    cgroupsLeft: cgroups.left,
    hidden,
  };
}

/** A mount over /proc/PID hides a process from every tool, without any rootkit; it is still listed by its number. */
function mountedOver(proc: string): readonly number[] {
  const found = new Set<number>();
  // PID 1 sees the host's /proc under that name, whatever we see it under
  for (const [who, seenAs] of [
    ['1', '/proc'],
    ['self', proc],
  ]) {
    try {
      for (const { point } of mountLines(readKernelText(`${proc}/${who}/mountinfo`, MAX_MOUNTINFO))) {
        const pid = point.startsWith(`${seenAs}/`) ? Number.parseInt(point.slice(`${seenAs}/`.length), 10) : Number.NaN;
        if (pid > 0) found.add(pid);
      }
    } catch {
      // denied of PID 1, or not there in a tree that is no /proc: the other one tells
    }
  }
  return [...found];
}

/** A number below /proc that is its own thread group: threads answer to their number too, and are not listed. */
function isProcess(proc: string, pid: number): boolean {
  if (statSync(`${proc}/${pid}`, { throwIfNoEntry: false }) === undefined) return false;
  try {
    return Number(/^Tgid:\s+(\d+)/m.exec(readKernelText(`${proc}/${pid}/status`))?.[1]) === pid;
  } catch {
    return false; // it has ended between the two calls
  }
}

function pidMaxOf(proc: string): number {
  try {
    return Number(readKernelText(`${proc}/sys/kernel/pid_max`)) || DEFAULT_PID_MAX;
  } catch {
    return DEFAULT_PID_MAX;
  }
}

interface Cgroups {
  /** The cgroup.procs file each PID stands in. */
  readonly members: ReadonlyMap<number, string>;
  readonly folders: number;
  readonly left: number;
  stillIn(pid: number): boolean;
}

function cgroupMembers(root: string): Cgroups {
  const members = new Map<number, string>();
  const waiting = [root];
  let folders = 0;
  while (folders < MAX_CGROUPS) {
    const folder = waiting.pop();
    if (folder === undefined) break;
    folders++;
    const file = join(folder, 'cgroup.procs');
    for (const pid of pidsIn(file)) members.set(pid, file);
    for (const child of childFolders(folder)) waiting.push(child);
  }
  return {
    members,
    folders,
    left: waiting.length,
    stillIn: (pid) => pidsIn(members.get(pid) ?? '').includes(pid),
  };
}

/** PID 0 stands for a process that is not in our PID namespace. */
function pidsIn(file: string): readonly number[] {
  if (file === '') return [];
  try {
    return readFileSync(file, 'latin1')
      .split('\n')
      .map(Number)
      .filter((pid) => pid > 0);
  } catch {
    return []; // no cgroup, or a threaded one, whose members stand in the one above
  }
}

function childFolders(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((item) => item.isDirectory())
      .map((item) => join(folder, item.name));
  } catch {
    return []; // removed meanwhile
  }
}
