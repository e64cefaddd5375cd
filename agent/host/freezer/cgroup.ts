// The cgroup of one container as its freezer: where it is, whether it stands still, and telling it to.
// Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst; cgroup-v2.rst, "cgroup.freeze".

import { closeSync, constants, existsSync, openSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GapReason } from '../../../evidence/index.ts';
import type { Host } from '../host.ts';
import { containerCgroup } from '../identity.ts';
import { readKernelText } from '../read.ts';

/** A process that waits for a disk cannot be stopped at once. */
export const STATE_MILLISECONDS = 3000;
const POLL_MILLISECONDS = 5;

/** A process of the container, and the container's id. */
export interface Located {
  readonly host: Host;
  readonly pid: number;
  readonly containerId: string | undefined;
}

/** Why there is nothing to freeze, in a gap's words. */
export interface Nowhere {
  readonly reason: GapReason;
  readonly detail: string;
}

export interface Cgroup {
  readonly version: 1 | 2;
  readonly folder: string;
  /** Written to. */
  readonly control: string;
  readonly freeze: string;
  readonly thaw: string;
}

/** The container's own cgroup: the path down to the folder that bears its id, never one we are in ourselves. */
export function locate({ host, pid, containerId }: Located): Cgroup | Nowhere {
  if (containerId === undefined) {
    return { reason: 'skipped', detail: 'only a container is frozen, and this process is in none' };
  }
  const theirs = cgroupPaths(readKernelText(`${host.proc}/${pid}/cgroup`));
  const ours = cgroupPaths(readKernelText('/proc/self/cgroup'));
  for (const version of [1, 2] as const) {
    const path = containerCgroup(theirs[version] ?? '', containerId);
    if (path === undefined) continue;
    const own = ours[version];
    if (own === path || own?.startsWith(`${path}/`) === true) {
      return { reason: 'skipped', detail: 'we are in its cgroup ourselves, and would stand still with it' };
    }
    const cgroup = cgroupAt(`${host.sys}/fs/cgroup`, version, path);
    if (existsSync(cgroup.control)) return cgroup;
  }
  return { reason: 'unsupported', detail: 'no freezer of its cgroup can be seen from here' };
}

/** Its path in the hierarchy with the freezer of cgroup v1, and in that of v2; cgroups(7). */
function cgroupPaths(text: string): { readonly 1?: string; readonly 2?: string } {
  const paths: { 1?: string; 2?: string } = {};
  for (const line of text.split('\n')) {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers.split(',').includes('freezer')) paths[1] = path;
    else if (line.startsWith('0::')) paths[2] = path;
  }
  return paths;
}

function cgroupAt(root: string, version: 1 | 2, path: string): Cgroup {
  if (version === 1) {
    const folder = `${root}/freezer${path}`;
    return { version, folder, control: `${folder}/freezer.state`, freeze: 'FROZEN', thaw: 'THAWED' };
  }
  const folder = existsSync(`${root}/unified/cgroup.procs`) ? `${root}/unified${path}` : `${root}${path}`;
  return { version, folder, control: `${folder}/cgroup.freeze`, freeze: '1', thaw: '0' };
}

/** `freezing` where it, or a cgroup above it, was told to freeze. Throws the system's errors. */
export function stateOf({ version, folder, control }: Cgroup): 'frozen' | 'freezing' | 'thawed' {
  const told = readKernelText(control);
  if (version === 1) return told === 'FROZEN' ? 'frozen' : told === 'FREEZING' ? 'freezing' : 'thawed';
  if (/^frozen 1$/m.test(readKernelText(`${folder}/cgroup.events`))) return 'frozen';
  return told === '1' ? 'freezing' : 'thawed';
}

export function isFrozen(cgroup: Cgroup): boolean {
  try {
    return stateOf(cgroup) === 'frozen';
  } catch {
    return false; // the container has been removed
  }
}

export function tell({ control }: Cgroup, text: string): void {
  const fd = openSync(control, constants.O_WRONLY | constants.O_NOFOLLOW);
  try {
    writeSync(fd, text);
  } finally {
    closeSync(fd);
  }
}

export async function reaches(cgroup: Cgroup, state: 'frozen' | 'thawed'): Promise<boolean> {
  const until = performance.now() + STATE_MILLISECONDS;
  while (stateOf(cgroup) !== state) {
    if (performance.now() > until) return false;
    await sleep(POLL_MILLISECONDS);
  }
  return true;
}
