// The kernel's log as rows: of /dev/kmsg, or of syslog(2), which tells less, where that device is none or is denied.
import { type GapReport, gap } from '../../../capture/index.ts';
import type { NodeContext } from '../../context.ts';
import type { Host } from '../../host/host.ts';
import { readWhole } from '../../host/kernel-file.ts';
import { kmsgRecords, kmsgRefusal, kmsgRow } from './dmesg.ts';
import { SYSLOG_SOURCE, syslogLines, syslogRow } from './syslog.ts';

export interface KernelLog {
  readonly source: string;
  /** Oldest first. What of it could not be had is known once they have been read. */
  readonly rows: AsyncGenerator<Record<string, unknown>>;
}

export function kernelLog(context: NodeContext, gaps: GapReport[]): KernelLog {
  const { host, signal } = context;
  const path = host.path('dev/kmsg');
  const boot = bootUtcMs(host);
  const refusal = kmsgRefusal(path);
  if (refusal === undefined) {
    const parse = (record: Buffer): Row | undefined => kmsgRow(record, boot);
    return { source: '/dev/kmsg', rows: rowsOf('/dev/kmsg', kmsgRecords(path, gaps, signal), parse, gaps) };
  }
  const timed = hasTimes(host);
  if (!timed) gaps.push(gap('absent', "times in the kernel's log", 'printk.time is off: syslog(2) gives none'));
  const parse = (line: Buffer): Row | undefined => syslogRow(line, boot, timed);
  return { source: SYSLOG_SOURCE, rows: rowsOf(SYSLOG_SOURCE, syslogLines(context, refusal, gaps), parse, gaps) };
}

type Row = Record<string, unknown>;

async function* rowsOf(
  source: string,
  records: AsyncIterable<Buffer>,
  parse: (record: Buffer) => Row | undefined,
  gaps: GapReport[],
): AsyncGenerator<Row> {
  let bad = 0;
  for await (const record of records) {
    const row = parse(record);
    if (row === undefined) bad++;
    // a record of a form that is not known is kept as it is
    yield row ?? { impound: { unparsed: record.toString('base64') } };
  }
  if (bad > 0)
    gaps.push(gap('failed', source, `${bad} records could not be read as rows: they stand unparsed, base64`));
}

/** The kernel's times count from boot, which /proc/stat has in seconds since the epoch. */
function bootUtcMs(host: Host): number | undefined {
  const stat = readWhole(`${host.proc}/stat`, 1024 * 1024);
  const boot = stat.kind === 'whole' ? /^btime (\d{1,12})$/m.exec(stat.bytes.toString('latin1'))?.[1] : undefined;
  return boot === undefined ? undefined : Number(boot) * 1000;
}

/** printk.time of kernel-parameters.txt: without it the text of a line could be taken for its time. */
function hasTimes(host: Host): boolean {
  const time = readWhole(`${host.sys}/module/printk/parameters/time`, 16);
  return time.kind !== 'whole' || !/^[N0]/.test(time.bytes.toString('latin1'));
}
