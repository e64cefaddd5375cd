// The kernel's own files as they are, for raw.tar.zst: what the tables were made of, and what only a person reads.
import { readdirSync } from 'node:fs';
import { type GapReport, gap } from '../../../capture/index.ts';
import type { Member } from '../../../evidence/index.ts';
import type { Host } from '../../host/host.ts';
import { readWhole, unreadable } from '../../host/kernel-file.ts';
import { TRACE_FILES, traceDirectory } from './probes.ts';
import type { Symbols } from './symbols.ts';

/** Below /proc. Never kmsg, kcore, kpage*; schedstat, net and what belongs to a process are not the kernel collector's. */
const PROC = [
  ...['version', 'cmdline', 'bootconfig', 'version_signature', 'modules', 'filesystems', 'devices', 'misc', 'consoles'],
  ...['iomem', 'ioports', 'interrupts', 'softirqs', 'dma', 'partitions', 'swaps', 'diskstats', 'mdstat', 'locks'],
  ...[
    'vmallocinfo',
    'slabinfo',
    'meminfo',
    'vmstat',
    'buddyinfo',
    'stat',
    'loadavg',
    'cgroups',
    'crypto',
    'execdomains',
  ],
  ...['keys', 'key-users', 'config.gz', 'timer_list', 'sysvipc/shm', 'sysvipc/sem', 'sysvipc/msg'],
] as const;

/** Below /sys/kernel. */
const SYS_KERNEL = [
  ...['security/lockdown', 'security/lsm', 'security/ima/ascii_runtime_measurements', 'security/ima/policy'],
  ...['security/apparmor/profiles', 'security/integrity/ima/ascii_runtime_measurements', 'kexec_loaded'],
  ...['kexec_crash_loaded', 'kexec_crash_size', 'vmcoreinfo', 'notes', 'uevent_seqnum', 'uevent_helper', 'fscaps'],
  ...[
    'oops_count',
    'warn_count',
    'profiling',
    'debug/kprobes/list',
    'debug/kprobes/enabled',
    'debug/kprobes/blacklist',
  ],
] as const;

const FILE_BYTES = 16 * 1024 * 1024;
const A_SLICE = 8;

/** Members of raw.tar.zst, each below the directory it stands in on the host; gaps go to `gaps`. */
export async function* rawMembers(
  host: Host,
  symbols: Symbols | undefined,
  gaps: GapReport[],
  signal: AbortSignal,
): AsyncGenerator<Member> {
  let count = 0;
  for (const [path, shown] of rawFiles(host, gaps)) {
    signal.throwIfAborted();
    if (++count % A_SLICE === 0) await new Promise(setImmediate);
    const member = rawMember(path, shown, gaps);
    if (member !== undefined) yield member;
  }
  if (symbols !== undefined) {
    yield {
      name: 'proc/kallsyms',
      content: symbols.content,
      ...(symbols.truncated === undefined ? {} : { truncated: symbols.truncated }),
    };
  }
}

function* rawFiles(host: Host, gaps: GapReport[]): Generator<readonly [path: string, shown: string]> {
  for (const name of PROC) yield [`${host.proc}/${name}`, `/proc/${name}`];
  for (const name of SYS_KERNEL) yield [`${host.sys}/kernel/${name}`, `/sys/kernel/${name}`];
  const trace = traceDirectory(host);
  for (const name of trace === undefined ? [] : TRACE_FILES)
    yield [`${trace?.path}/${name}`, `${trace?.shown}/${name}`];
  // records of earlier crashes; reading leaves them there
  for (const name of listed(`${host.sys}/fs/pstore`, '/sys/fs/pstore', gaps)) {
    yield [`${host.sys}/fs/pstore/${name}`, `/sys/fs/pstore/${name}`];
  }
}

function rawMember(path: string, shown: string, gaps: GapReport[]): Member | undefined {
  const found = readWhole(path, FILE_BYTES);
  if (found.kind === 'unreadable') {
    gaps.push(
      gap(
        found.reason,
        shown,
        found.reason === 'absent' ? 'not there: the kernel lacks it, or its file system is not mounted' : found.detail,
      ),
    );
    return undefined;
  }
  const truncated = found.more ? `limit of ${FILE_BYTES} bytes a file; how much is left is not known` : undefined;
  if (truncated !== undefined) gaps.push(gap('truncated', shown, truncated));
  return {
    name: shown.slice(1),
    mode: found.stats.mode & 0o7777,
    uid: found.stats.uid,
    gid: found.stats.gid,
    mtime: BigInt(Math.trunc(found.stats.mtimeMs)) * 1_000_000n,
    content: found.bytes,
    ...(truncated === undefined ? {} : { truncated }),
  };
}

function listed(directory: string, shown: string, gaps: GapReport[]): readonly string[] {
  try {
    return readdirSync(directory).slice(0, 4096);
  } catch (error) {
    const failure = unreadable(error);
    gaps.push(gap(failure.reason, shown, failure.detail));
    return [];
  }
}
