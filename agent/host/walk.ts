// placeholder types; owned by the process helper
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
