// What is read of each process: names below /proc/PID, with the bound of each. proc(5).

export interface ProcFileSpec {
  readonly name: string;
  /** Bytes read at most; more is a gap. */
  readonly bound: number;
  /** Not read of kernel threads, which have no user memory. */
  readonly userOnly?: true;
}

const KIB = 1024;
const MIB = 1024 * KIB;

/**
 * Those that need no lock of the process' memory come first: cmdline, environ and maps of a process that is stuck, or
 * wants to look so, can block whoever reads them.
 */
export const PROCESS_FILES: readonly ProcFileSpec[] = [
  { name: 'status', bound: 64 * KIB },
  { name: 'cgroup', bound: 64 * KIB },
  { name: 'comm', bound: 4 * KIB },
  { name: 'limits', bound: 16 * KIB },
  { name: 'io', bound: 4 * KIB },
  { name: 'wchan', bound: 4 * KIB },
  { name: 'stack', bound: 64 * KIB },
  { name: 'schedstat', bound: 4 * KIB },
  { name: 'loginuid', bound: 4 * KIB },
  { name: 'sessionid', bound: 4 * KIB },
  { name: 'oom_score', bound: 4 * KIB },
  { name: 'oom_score_adj', bound: 4 * KIB },
  { name: 'attr/current', bound: 4 * KIB },
  { name: 'uid_map', bound: 64 * KIB },
  { name: 'gid_map', bound: 64 * KIB },
  { name: 'setgroups', bound: 4 * KIB },
  { name: 'personality', bound: 4 * KIB, userOnly: true },
  { name: 'syscall', bound: 4 * KIB },
  { name: 'auxv', bound: 16 * KIB, userOnly: true },
  { name: 'maps', bound: 8 * MIB, userOnly: true },
  { name: 'cmdline', bound: MIB, userOnly: true },
  { name: 'environ', bound: MIB, userOnly: true },
];

/** What a walk without raw files reads beside stat: enough for the index. */
export const INDEX_FILES: readonly ProcFileSpec[] = PROCESS_FILES.filter(
  ({ name }) => name === 'cgroup' || name === 'maps',
);

/** Read from the process' own memory: what it can make block. */
export const MEMORY_FILES: readonly string[] = ['maps', 'cmdline', 'environ'];

/** Large and the same for all of a mount namespace: read once for each. */
export const MOUNTINFO: ProcFileSpec = { name: 'mountinfo', bound: 4 * MIB };

export const PROCESS_LINKS: readonly string[] = ['exe', 'cwd', 'root'];

export const NAMESPACES: readonly string[] = [
  'cgroup',
  'ipc',
  'mnt',
  'net',
  'pid',
  'pid_for_children',
  'time',
  'time_for_children',
  'user',
  'uts',
];

/** Of each thread, where there is more than one: /proc/PID itself shows the only one. */
export const THREAD_FILES: readonly ProcFileSpec[] = [
  { name: 'comm', bound: 4 * KIB },
  { name: 'status', bound: 16 * KIB },
  { name: 'stat', bound: 4 * KIB },
];

/** Descriptors looked at, and those of which link and fdinfo are kept: a proxy may hold tens of thousands of sockets. */
export const MAX_DESCRIPTORS = 65_536;
export const MAX_RAW_DESCRIPTORS = 4096;
export const MAX_THREADS = 1024;
export const FDINFO_BOUND = 64 * KIB;
