// One walk over /proc for all collectors (being written: the types are settled, index() is empty for now).
import type { Host } from './host.ts';
import type { ContainerIdentity } from './identity.ts';
export interface ProcessSummary {
  readonly pid: number;
  /** Start time in clock ticks since boot, field 22 of proc_pid_stat(5): with the PID it names a process for good. */
  readonly startTicks: string;
  readonly comm: string;
  /** Target of /proc/PID/exe, lossy text; undefined for kernel threads and where it was denied. */
  readonly exe?: string;
  /** Inode of its network namespace. */
  readonly netns?: number;
  /** Inodes of the sockets it holds, with the descriptor. */
  readonly sockets: readonly { readonly fd: number; readonly inode: number }[];
  readonly container?: ContainerIdentity;
}
export interface ProcessWalk {
  /** Every process seen, when the walk has ended; starts it where nobody has. */
  index(): Promise<readonly ProcessSummary[]>;
}
export interface WalkOptions {
  /** Also read the raw files and keep them for one consumer of records(). */
  readonly raw: boolean;
  readonly signal: AbortSignal;
}
export function startWalk(_host: Host, _options: WalkOptions): ProcessWalk {
  return { index: () => Promise.resolve([]) };
}
