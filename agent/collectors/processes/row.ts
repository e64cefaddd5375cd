// The row of one process: ECS names where ECS has one, the rest below `impound`.
import { textField } from '../../../evidence/index.ts';
import { deviceNumber } from '../../host/device-number.ts';
import { parseStat } from '../../host/walk/stat.ts';
import type { ProcessRecord, ProcFile } from '../../host/walk.ts';
import { capabilityNames } from './capabilities.ts';
import { ids, parseStatus } from './status.ts';
import type { Surroundings } from './surroundings.ts';

/** sysconf(_SC_CLK_TCK): 100 on every architecture Linux' user space knows. */
const TICKS_PER_SECOND = 100;

export function processRow(record: ProcessRecord, around: Surroundings): Record<string, unknown> {
  const { summary, readAt } = record;
  const files = new Map(record.files.map((file) => [file.name, file]));
  const stat = parseStat(latin1(files.get('stat')));
  const status = parseStatus(latin1(files.get('status')));
  const exe = files.get('exe')?.bytes;
  const target = summary.exe ?? '';
  return {
    '@timestamp': new Date(readAt).toISOString(),
    process: {
      pid: summary.pid,
      parent: { pid: stat?.parent },
      group_leader: { pid: stat?.group },
      session_leader: { pid: stat?.session },
      ...textField('name', Buffer.from(stat?.comm ?? summary.comm, stat === undefined ? 'utf8' : 'latin1')),
      ...(exe === undefined ? {} : textField('executable', exe)),
      ...commandLine(files.get('cmdline')),
      ...environment(files.get('environ')),
      ...linked('working_directory', files.get('cwd')),
      start: startTime(summary.startTicks, around.bootTime),
      ...ids(status),
      thread: {
        count: stat?.threads,
        capabilities: {
          effective: capabilityNames(status.get('CapEff')),
          permitted: capabilityNames(status.get('CapPrm')),
        },
      },
      tty: stat === undefined || stat.tty === 0 ? undefined : { char_device: deviceNumber(BigInt(stat.tty)) },
    },
    ...containerFields(summary.container),
    impound: {
      startTicks: summary.startTicks,
      state: stat?.state,
      kernelThread: summary.kernelThread === true ? true : undefined,
      footprint: summary.pid === around.ownPid ? true : undefined,
      deleted: target.endsWith(' (deleted)') && !target.startsWith('/memfd:') ? true : undefined,
      memfd: target.startsWith('/memfd:') ? true : undefined,
      ...linked('root', files.get('root')),
      capabilities: Object.fromEntries(
        ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map((name) => [name, status.get(name)]),
      ),
      seccomp: number(status.get('Seccomp')),
      noNewPrivileges: number(status.get('NoNewPrivs')),
      tracerPid: number(status.get('TracerPid')) || undefined,
      namespacePids: status.get('NSpid')?.split(/\s+/).map(Number),
      namespaces: namespaces(files, around),
      cgroup: latin1(files.get('cgroup')).split('\n').slice(0, -1),
      residentBytes: stat === undefined ? undefined : stat.residentPages * 4096,
      cpuSeconds: stat === undefined ? undefined : (stat.userTicks + stat.systemTicks) / TICKS_PER_SECOND,
      io: numbers(files.get('io')),
      limits: limits(files.get('limits')),
      wchan: optional(files.get('wchan')),
      loginuid: unset(optional(files.get('loginuid'))),
      sessionid: unset(optional(files.get('sessionid'))),
      oomScoreAdj: number(optional(files.get('oom_score_adj'))),
      label: optional(files.get('attr/current')),
      descriptors: descriptors(record.files),
      threads: threads(record.files),
    },
  };
}

function latin1(file: ProcFile | undefined): string {
  return file === undefined
    ? ''
    : Buffer.from(file.bytes.buffer, file.bytes.byteOffset, file.bytes.length).toString('latin1');
}

function optional(file: ProcFile | undefined): string | undefined {
  const text = latin1(file).replace(/[\0\n]+$/, '');
  return text === '' ? undefined : text;
}

function number(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

/** 4294967295 is -1: not set. */
function unset(text: string | undefined): number | undefined {
  return text === undefined || text === '4294967295' ? undefined : Number(text);
}

function linked(name: string, file: ProcFile | undefined): Record<string, string> {
  return file === undefined ? {} : textField(name, file.bytes);
}

/** Arguments are separated by NULs; a process may write anything there, so the exact bytes stand beside what is no text. */
function commandLine(file: ProcFile | undefined): Record<string, unknown> {
  if (file === undefined || file.bytes.length === 0) return {};
  const args = splitNul(file.bytes);
  const { args: lossy, args_base64 } = textField('args', file.bytes);
  const texts = args.map((arg) => Buffer.from(arg).toString('utf8'));
  return {
    args: texts,
    args_count: texts.length,
    command_line: texts.join(' '),
    ...(args_base64 === undefined || lossy === undefined ? {} : { args_base64 }),
  };
}

function environment(file: ProcFile | undefined): Record<string, unknown> {
  if (file === undefined || file.bytes.length === 0) return {};
  const { env_vars_base64 } = textField('env_vars', file.bytes);
  return {
    env_vars: splitNul(file.bytes).map((variable) => Buffer.from(variable).toString('utf8')),
    ...(env_vars_base64 === undefined ? {} : { env_vars_base64 }),
  };
}

function splitNul(bytes: Uint8Array): readonly Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0, start);
    parts.push(bytes.subarray(start, end === -1 ? bytes.length : end));
    start = end === -1 ? bytes.length : end + 1;
  }
  return parts;
}

function startTime(ticks: string, bootTime: number | undefined): string | undefined {
  if (bootTime === undefined) return undefined;
  return new Date(bootTime + (Number(ticks) / TICKS_PER_SECOND) * 1000).toISOString();
}

function containerFields(container: ProcessRecord['summary']['container']): Record<string, unknown> {
  if (container === undefined) return {};
  const { containerId, runtime, podUid } = container;
  return {
    ...(containerId === undefined ? {} : { container: { id: containerId, runtime } }),
    ...(podUid === undefined ? {} : { orchestrator: { type: 'kubernetes', resource: { type: 'pod', id: podUid } } }),
  };
}

/** Inode of each namespace, and whether it is the host's. */
function namespaces(files: ReadonlyMap<string, ProcFile>, around: Surroundings): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [name, file] of files) {
    const kind = /^ns\/(\w+)$/.exec(name)?.[1];
    if (kind === undefined) continue;
    const link = latin1(file);
    const host = around.hostNamespaces.get(kind);
    found[kind] = { inode: Number(/\d+/.exec(link)?.[0]), host: host === undefined ? undefined : host === link };
  }
  return found;
}

function numbers(file: ProcFile | undefined): Record<string, number> | undefined {
  const pairs = [...latin1(file).matchAll(/^(\w+): (\d+)$/gm)].map(([, name = '', value]): [string, number] => [
    name,
    Number(value),
  ]);
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
}

/** Soft and hard limit as the kernel prints them. */
function limits(file: ProcFile | undefined): Record<string, readonly string[]> | undefined {
  const lines = [...latin1(file).matchAll(/^(Max [\w ]+?) {2,}(\S+) +(\S+)/gm)];
  return lines.length === 0
    ? undefined
    : Object.fromEntries(lines.map(([, name = '', soft = '', hard = '']) => [name, [soft, hard]]));
}

function descriptors(files: readonly ProcFile[]): readonly Record<string, unknown>[] {
  const details = new Map(
    files.filter(({ name }) => name.startsWith('fdinfo/')).map((file) => [file.name.slice(7), latin1(file)]),
  );
  return files.flatMap((file) => {
    if (!file.name.startsWith('fd/')) return [];
    const fd = file.name.slice(3);
    const info = details.get(fd) ?? '';
    return [
      {
        fd: Number(fd),
        ...textField('target', file.bytes),
        position: number(/^pos:\s+(\d+)/m.exec(info)?.[1]),
        flags: /^flags:\s+(\d+)/m.exec(info)?.[1],
      },
    ];
  });
}

function threads(files: readonly ProcFile[]): readonly Record<string, unknown>[] | undefined {
  const found = files.flatMap((file) => {
    const tid = /^task\/(\d+)\/comm$/.exec(file.name)?.[1];
    return tid === undefined ? [] : [{ tid: Number(tid), ...textField('name', trimmed(file.bytes)) }];
  });
  return found.length === 0 ? undefined : found;
}

function trimmed(bytes: Uint8Array): Uint8Array {
  return bytes.at(-1) === 10 ? bytes.subarray(0, -1) : bytes;
}
