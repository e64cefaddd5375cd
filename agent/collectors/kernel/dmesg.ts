// The kernel's log from /dev/kmsg: Documentation/ABI/testing/dev-kmsg. Never /proc/kmsg, whose readers take records away.
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs';
import { type GapReport, gap } from '../../../capture/index.ts';
import { errnoOf, textField } from '../../../evidence/index.ts';
import { unreadable } from '../../host/kernel-file.ts';

const RECORD_BYTES = 16 * 1024; // above CONSOLE_EXT_LOG_MAX: a shorter buffer fails with EINVAL
const LOG_BYTES = 64 * 1024 * 1024; // the largest log buffer is 32 MiB on most kernels
const A_SLICE = 512;
const KMSG = { major: 1, minor: 11 } as const;

/** Raw records, oldest first, each with its newline; gaps go to `gaps`. Others' readers see no difference. */
export async function* kmsgRecords(path: string, gaps: GapReport[], signal: AbortSignal): AsyncGenerator<Buffer> {
  const fd = openLog(path, gaps);
  if (fd === undefined) return;
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
  const priority = Number(prefix);
  const at = bootUtcMs === undefined ? Number.NaN : bootUtcMs + Number(microseconds) / 1000;
  return {
    ...(Math.abs(at) <= 8.64e15 ? { '@timestamp': new Date(at).toISOString() } : {}),
    ...textField('message', unescaped(record.subarray(semicolon + 1, end))),
    log: { syslog: { priority, severity: { code: priority & 7 }, facility: { code: priority >> 3 } } },
    event: { sequence: Number(sequence) },
    impound: {
      monotonicMicroseconds: Number(microseconds),
      ...(flags === undefined || flags === '-' ? {} : { flags }),
      ...(further.length === 0 ? {} : { fields: further }),
      ...(pairs === '' ? {} : { dictionary: pairs.split('\n').map((pair) => pair.replace(/^ /, '')) }),
    },
  };
}

function openLog(path: string, gaps: GapReport[]): number | undefined {
  try {
    const before = lstatSync(path);
    if (!before.isCharacterDevice() || majorOf(before.rdev) !== KMSG.major || minorOf(before.rdev) !== KMSG.minor) {
      gaps.push(gap('skipped', '/dev/kmsg', 'not the character device 1:11: not opened'));
      return undefined;
    }
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
    const stats = fstatSync(fd);
    if (stats.isCharacterDevice() && stats.rdev === before.rdev) return fd;
    closeSync(fd);
    gaps.push(gap('failed', '/dev/kmsg', 'replaced while it was opened'));
  } catch (error) {
    const failure = unreadable(error);
    const detail =
      failure.reason === 'denied' ? 'takes CAP_SYSLOG, and the device cgroup must allow c 1:11' : failure.detail;
    gaps.push(gap(failure.reason, '/dev/kmsg', detail));
  }
  return undefined;
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
