// The kernel's log from /dev/kmsg: Documentation/ABI/testing/dev-kmsg. Never /proc/kmsg, whose readers take records away.
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs';
import { type GapReport, gap } from '../../../capture/index.ts';
import { errnoOf, textField } from '../../../evidence/index.ts';
import { type Unreadable, unreadable } from '../../host/kernel-file.ts';

const RECORD_BYTES = 16 * 1024; // above CONSOLE_EXT_LOG_MAX: a shorter buffer fails with EINVAL
const LOG_BYTES = 64 * 1024 * 1024; // the largest log buffer is 32 MiB on most kernels
const A_SLICE = 512;
const KMSG = { major: 1, minor: 11 } as const;

/** Why the log cannot be read here; undefined where it can. */
export function kmsgRefusal(path: string): Unreadable | undefined {
  const opened = openLog(path);
  if (opened.kind === 'unreadable') return opened;
  closeSync(opened.fd);
  return undefined;
}

/** Raw records, oldest first, each with its newline; gaps go to `gaps`. Others' readers see no difference. */
export async function* kmsgRecords(path: string, gaps: GapReport[], signal: AbortSignal): AsyncGenerator<Buffer> {
  const opened = openLog(path);
  if (opened.kind === 'unreadable') {
    gaps.push(gap(opened.reason, '/dev/kmsg', opened.detail));
    return;
  }
  const { fd } = opened;
  try {
    const buffer = Buffer.alloc(RECORD_BYTES);
    let overwritten = 0;
    let bytes = 0;
    for (let count = 1; ; count++) {
      const read = nextRecord(fd, buffer);
      if (read === 'overwritten') overwritten++;
      else if (read === 'end') break;
      else {
        bytes += read;
        if (bytes > LOG_BYTES) {
          gaps.push(gap('truncated', '/dev/kmsg', `limit of ${LOG_BYTES} bytes; how much is left is not known`));
          break;
        }
        yield Buffer.from(buffer.subarray(0, read));
      }
      if (count % A_SLICE === 0) {
        signal.throwIfAborted();
        await new Promise(setImmediate);
      }
    }
    if (overwritten > 0) {
      gaps.push(
        gap('vanished', '/dev/kmsg', `${overwritten} times the oldest records were overwritten while they were read`),
      );
    }
  } catch (error) {
    const failure = unreadable(error);
    gaps.push(gap(failure.reason, '/dev/kmsg', failure.detail));
  } finally {
    closeSync(fd);
  }
}

/**
 * One record as a row: "6,339,5140900,-,caller=T1;text", then " KEY=value" lines. `bootUtcMs` is when the machine
 * started; the time made with it drifts with suspends and clock changes, so the kernel's own stands beside it.
 */
export function kmsgRow(record: Buffer, bootUtcMs: number | undefined): Record<string, unknown> | undefined {
  const semicolon = record.indexOf(0x3b);
  if (semicolon === -1) return undefined;
  const [prefix, sequence, microseconds, flags, ...further] = record
    .subarray(0, semicolon)
    .toString('latin1')
    .split(',');
  if (!/^\d{1,6}$/.test(prefix ?? '') || !/^\d{1,16}$/.test(sequence ?? '') || !/^\d{1,16}$/.test(microseconds ?? '')) {
    return undefined;
  }
  const newline = record.indexOf(0x0a, semicolon);
  const end = newline === -1 ? record.length : newline;
  const pairs =
    newline === -1
      ? ''
      : record
          .subarray(newline + 1)
          .toString('utf8')
          .trimEnd();
  return logRow(
    {
      priority: Number(prefix),
      microseconds: Number(microseconds),
      message: unescaped(record.subarray(semicolon + 1, end)),
      event: { sequence: Number(sequence) },
      more: {
        ...(flags === undefined || flags === '-' ? {} : { flags }),
        ...(further.length === 0 ? {} : { fields: further }),
        ...(pairs === '' ? {} : { dictionary: pairs.split('\n').map((pair) => pair.replace(/^ /, '')) }),
      },
    },
    bootUtcMs,
  );
}

interface LogFields {
  /** Facility times eight, plus severity. */
  readonly priority: number;
  /** Since the machine started. */
  readonly microseconds: number | undefined;
  readonly message: Buffer;
  readonly event: Record<string, unknown>;
  /** Below `impound`. */
  readonly more: Record<string, unknown>;
}

export function logRow(
  { priority, microseconds, message, event, more }: LogFields,
  bootUtcMs: number | undefined,
): Record<string, unknown> {
  const at = bootUtcMs === undefined || microseconds === undefined ? Number.NaN : bootUtcMs + microseconds / 1000;
  return {
    ...(Math.abs(at) <= 8.64e15 ? { '@timestamp': new Date(at).toISOString() } : {}),
    ...textField('message', message),
    log: { syslog: { priority, severity: { code: priority & 7 }, facility: { code: priority >> 3 } } },
    event,
    impound: { ...(microseconds === undefined ? {} : { monotonicMicroseconds: microseconds }), ...more },
  };
}

function openLog(path: string): { readonly kind: 'file'; readonly fd: number } | Unreadable {
  try {
    const before = lstatSync(path);
    if (!before.isCharacterDevice() || majorOf(before.rdev) !== KMSG.major || minorOf(before.rdev) !== KMSG.minor) {
      return { kind: 'unreadable', reason: 'skipped', detail: 'not the character device 1:11: not opened' };
    }
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
    const stats = fstatSync(fd);
    if (stats.isCharacterDevice() && stats.rdev === before.rdev) return { kind: 'file', fd };
    closeSync(fd);
    return { kind: 'unreadable', reason: 'failed', detail: 'replaced while it was opened' };
  } catch (error) {
    const failure = unreadable(error);
    if (failure.reason !== 'denied') return failure;
    return { ...failure, detail: 'takes CAP_SYSLOG, and the device cgroup must allow c 1:11' };
  }
}

function nextRecord(fd: number, buffer: Buffer): number | 'end' | 'overwritten' {
  try {
    const count = readSync(fd, buffer, 0, buffer.length, null);
    return count === 0 ? 'end' : count;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'EAGAIN') return 'end';
    if (errno === 'EPIPE') return 'overwritten';
    throw error;
  }
}

/** The kernel escapes what is not printable, and the backslash, as "\xHH". */
function unescaped(text: Buffer): Buffer {
  if (!text.includes('\\x')) return text;
  return Buffer.from(
    text
      .toString('latin1')
      .replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );
}

// gnu_dev_major(3) and gnu_dev_minor(3), for the numbers that fit
function majorOf(device: number): number {
  return (device >>> 8) & 0xfff;
}

function minorOf(device: number): number {
  return (device & 0xff) | ((device >>> 12) & 0xfff00);
}
