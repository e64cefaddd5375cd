// The kernel's log from syslog(2), by dmesg(1) of util-linux: SYSLOG_ACTION_READ_ALL, which takes nothing from other readers.
import { type GapReport, gap } from '../../../capture/index.ts';
import { textField } from '../../../evidence/index.ts';
import type { NodeContext } from '../../context.ts';
import type { Unreadable } from '../../host/kernel-file.ts';
import type { Ending } from '../../programs/run.ts';
import { lineSplitter } from '../sockets/lines.ts';
import { logRow } from './dmesg.ts';

export const SYSLOG_SOURCE = 'syslog(2) by dmesg --syslog';

const LOG_BYTES = 64 * 1024 * 1024;
/** No record is longer: what leaves less than this of the buffer may have lost its oldest ones to it. */
const RECORD_BYTES = 16 * 1024;
const SECONDS = 30;
/**
 * By itself dmesg asks for as many bytes as the kernel's buffer has, and the lines with their times are more than that:
 * the oldest would be lost. It escapes what is not printable, ambiguously.
 */
const ARGUMENTS = ['--syslog', '--raw', '--noescape', `--buffer-size=${LOG_BYTES}`];
const INSTEAD =
  'the log was read by syslog(2): a row is a line, and what dmesg --clear hid is missing, though the buffer may still have it';

/** Lines as they were read, oldest first, without their ends; gaps go to `gaps`. `refusal` is why /dev/kmsg is not read. */
export async function* syslogLines(
  { programs, signal }: NodeContext,
  refusal: Unreadable,
  gaps: GapReport[],
): AsyncGenerator<Buffer> {
  const bounds = { signal, seconds: SECONDS, bytes: LOG_BYTES + RECORD_BYTES };
  const running = await programs.start('dmesg', ARGUMENTS, bounds);
  const lines: string[] = [];
  const splitter = lineSplitter({ line: (text) => lines.push(text), end() {} });
  let bytes = 0;
  for await (const chunk of running.stdout) {
    bytes += chunk.length;
    splitter.push(chunk);
    for (const line of lines.splice(0)) yield Buffer.from(line, 'latin1');
  }
  splitter.end();
  for (const line of lines) yield Buffer.from(line, 'latin1');
  gaps.push(...gapsOf(await running.ended, bytes, refusal));
}

function gapsOf(ending: Ending, bytes: number, { reason, detail }: Unreadable): readonly GapReport[] {
  const nothing = bytes === 0 && ending.kind !== 'done';
  const lost = nothing
    ? gap(reason, '/dev/kmsg', detail)
    : gap(reason, "sequence numbers and dictionaries in the kernel's log", `${detail}; ${INSTEAD}`);
  if (ending.kind === 'missing') {
    return [lost, gap('unsupported', 'dmesg --syslog', `${ending.why}; install util-linux, 2.35 or later`)];
  }
  if (ending.kind === 'failed') {
    return [lost, gap('failed', 'dmesg --syslog', `${ending.why}; it takes CAP_SYSLOG, and util-linux 2.35 or later`)];
  }
  if (ending.kind !== 'done') return [lost, gap(ending.kind, 'dmesg --syslog', ending.why)];
  if (bytes <= LOG_BYTES - RECORD_BYTES) return [lost];
  const bound = `limit of ${LOG_BYTES} bytes, the newest; how much is left is not known`;
  return [lost, gap('truncated', 'dmesg --syslog', bound)];
}

/**
 * One line as a row: "<6>[    5.140900][    T1] text", see info_print_prefix() in kernel/printk/printk.c. Each line of a
 * record has it, so text cannot begin a line. `timed` as lines have times: without them, what stands there is text.
 */
export function syslogRow(
  line: Buffer,
  bootUtcMs: number | undefined,
  timed: boolean,
): Record<string, unknown> | undefined {
  const text = line.toString('latin1');
  const [prefix = '', priority, seconds, fraction, caller] =
    (timed ? TIMED.exec(text) : null) ?? UNTIMED.exec(text) ?? [];
  if (priority === undefined) return undefined;
  return logRow(
    {
      priority: Number(priority),
      microseconds: seconds === undefined ? undefined : Number(seconds) * 1_000_000 + Number(fraction),
      message: line.subarray(prefix.length),
      event: textField('original', line),
      more: caller === undefined ? {} : { fields: [`caller=${caller}`] },
    },
    bootUtcMs,
  );
}

const TIMED = /^<(\d{1,6})>\[ {0,9}(\d{1,9})\.(\d{6})\](?:\[ {0,9}([CT]\d{1,9})\])? /;
const UNTIMED = /^<(\d{1,6})>/;
