// What a failed system call means for the evidence: errno(3) to the reason of a gap. Imports nothing at run time, since
// worker threads load it: a room's door would cost each thread 100 ms.
import type { GapReport } from '../../capture/index.ts';
import type { GapReason } from '../../evidence/index.ts';

export const DENIED =
  'the kernel refused: run as root with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH in the host PID namespace';
export const VANISHED = 'ended or removed between listing and reading';
/** open(2) with O_NONBLOCK begins to take the lease away, and does not wait for that. */
const LEASED =
  'a program holds a lease on it, fcntl(2), and was asked to give it up: it can be read after /proc/sys/fs/lease-break-time';
const SYMLINK = 'a symbolic link is on the way; none is followed';

/** Something that is not read although the system would let us; the message is the gap's detail. */
export class Refusal extends Error {
  readonly reason: GapReason;

  constructor(reason: GapReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** The errno name of a system error, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** `missing` says what ENOENT means here: `vanished` for what was listed before, `absent` for what was only hoped for. */
export function gapReason(errno: string | undefined, missing: 'vanished' | 'absent' = 'vanished'): GapReason {
  switch (errno) {
    case 'EACCES':
    case 'EPERM':
      return 'denied';
    case 'ENOENT':
    case 'ESRCH':
      return missing;
    case 'ENXIO':
    case 'ENODEV':
      return 'absent';
    case 'ELOOP':
    case 'ENOTDIR':
      return 'skipped';
    case 'ENOSYS':
    case 'EOPNOTSUPP':
    case 'ENOTSUP':
      return 'unsupported';
    case 'ETIMEDOUT':
      return 'timeout';
    default:
      return 'failed';
  }
}

/** The gap for an error met on `name`; the same words for the same cause, since gaps are grouped by them. */
export function gapOf(error: unknown, name: string, missing: 'vanished' | 'absent' = 'vanished'): GapReport {
  if (error instanceof Refusal) return { kind: 'gap', reason: error.reason, name, detail: error.message };
  const errno = errnoOf(error);
  const reason = gapReason(errno, missing);
  if (reason === 'absent') return { kind: 'gap', reason, name };
  const other = errno === 'EAGAIN' ? LEASED : (errno ?? (error instanceof Error ? error.message : String(error)));
  const details: Partial<Record<GapReason, string>> = { denied: DENIED, vanished: VANISHED, skipped: SYMLINK };
  return { kind: 'gap', reason, name, detail: details[reason] ?? other };
}
