// What a failed system call means for the evidence: errno(3) to the reason of a gap.
import { type GapReport, gap } from '../../capture/index.ts';
import { describeError, errnoOf, type GapReason } from '../../evidence/index.ts';

export const DENIED = "the kernel refused: run as root with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH on the host's PID namespace";
export const VANISHED = 'ended or removed between listing and reading';
const SYMLINK = 'a symbolic link is on the way; none is followed';

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
  const reason = gapReason(errnoOf(error), missing);
  if (reason === 'denied') return gap(reason, name, DENIED);
  if (reason === 'vanished') return gap(reason, name, VANISHED);
  if (reason === 'absent') return gap(reason, name);
  if (reason === 'skipped') return gap(reason, name, SYMLINK);
  return gap(reason, name, errnoOf(error) ?? describeError(error));
}
