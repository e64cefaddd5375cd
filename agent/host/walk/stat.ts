// One line of /proc/PID/stat, proc_pid_stat(5).

/** Linux' PF_KTHREAD: a thread of the kernel, without user memory. */
const PF_KTHREAD = 0x00200000;

export interface ProcessStat {
  readonly comm: string;
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** Device number of the controlling terminal, 0 for none. */
  readonly tty: number;
  readonly kernelThread: boolean;
  /** Clock ticks (1/100 s) in user and kernel mode. */
  readonly userTicks: number;
  readonly systemTicks: number;
  readonly priority: number;
  readonly nice: number;
  readonly threads: number;
  /** Clock ticks since boot. */
  readonly startTicks: string;
  /** Bytes of address space; pages of resident memory. */
  readonly virtualBytes: number;
  readonly residentPages: number;
  /** Length of the environment, 0 where it may not be known (env_start and env_end). */
  readonly environBytes: number;
}

/** Undefined where the text is not such a line. `comm` may contain blanks and parentheses: its end is the last ")". */
export function parseStat(text: string): ProcessStat | undefined {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open === -1 || close < open) return undefined;
  const fields = text.slice(close + 2).split(' ');
  const number = (field: number): number => Number(fields[field - 3] ?? '0');
  const startTicks = fields[22 - 3]?.trim();
  if (startTicks === undefined || !/^\d+$/.test(startTicks)) return undefined;
  return {
    comm: text.slice(open + 1, close),
    state: fields[0] ?? '',
    parent: number(4),
    group: number(5),
    session: number(6),
    tty: number(7) >>> 0,
    kernelThread: (number(9) & PF_KTHREAD) !== 0,
    userTicks: number(14),
    systemTicks: number(15),
    priority: number(18),
    nice: number(19),
    threads: number(20),
    startTicks,
    virtualBytes: number(23),
    residentPages: number(24),
    environBytes: Number(BigInt.asUintN(64, integer(fields[51 - 3]) - integer(fields[50 - 3]))),
  };
}

function integer(field: string | undefined): bigint {
  return /^\d{1,20}$/.test(field ?? '') ? BigInt(field ?? '0') : 0n;
}
