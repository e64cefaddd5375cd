// What hooks into the kernel's functions: kprobes, uprobes, ftrace, live patches.
import { lstatSync, readdirSync } from 'node:fs';
import { type GapReport, gap } from '../../../capture/index.ts';
import { textField } from '../../../evidence/index.ts';
import type { Host } from '../../host/host.ts';
import { readWhole, unreadable } from '../../host/kernel-file.ts';

const TABLE_BYTES = 8 * 1024 * 1024;

/** Files of tracefs that are read. Never trace_pipe, which takes events from others, nor trace, which stops tracing. */
export const TRACE_FILES = [
  ...[
    'current_tracer',
    'tracing_on',
    'enabled_functions',
    'touched_functions',
    'set_ftrace_filter',
    'set_ftrace_notrace',
  ],
  ...['set_graph_function', 'set_ftrace_pid', 'kprobe_events', 'uprobe_events', 'dynamic_events', 'synthetic_events'],
  ...['set_event', 'kprobe_profile', 'uprobe_profile', 'trace_options'],
] as const;

/**
 * Where tracefs stands, if it is mounted: nothing is mounted for it, and the old place below debugfs is entered only
 * where it is a mount already, since entering it would make it one.
 */
export function traceDirectory(host: Host): { readonly path: string; readonly shown: string } | undefined {
  const own = { path: `${host.sys}/kernel/tracing`, shown: '/sys/kernel/tracing' };
  if (deviceOf(`${own.path}/current_tracer`) !== undefined) return own;
  const old = { path: `${host.sys}/kernel/debug/tracing`, shown: '/sys/kernel/debug/tracing' };
  const device = deviceOf(old.path);
  return device !== undefined && device !== deviceOf(`${host.sys}/kernel/debug`) ? old : undefined;
}

/** Rows of kprobes.jsonl; gaps go to `gaps`. */
export function* probeRows(host: Host, gaps: GapReport[]): Generator<Record<string, unknown>> {
  yield* linesOf(
    `${host.sys}/kernel/debug/kprobes/list`,
    '/sys/kernel/debug/kprobes/list',
    gaps,
    kprobe,
    'debugfs is not mounted here, or the kernel has no kprobes; nothing was mounted',
  );
  const trace = traceDirectory(host);
  if (trace === undefined) gaps.push(NO_TRACEFS);
  for (const [file, kind] of trace === undefined ? [] : EVENTS) {
    yield* linesOf(
      `${trace?.path}/${file}`,
      `${trace?.shown}/${file}`,
      gaps,
      (line) => event(kind, line),
      'this kernel does not have it',
    );
  }
  yield* livePatches(host, gaps);
}

const NO_TRACEFS = gap(
  'absent',
  '/sys/kernel/tracing',
  'tracefs is not mounted here, and nothing was mounted for the capture',
);

const EVENTS = [
  ['kprobe_events', 'kprobe-event'],
  ['uprobe_events', 'uprobe-event'],
  ['dynamic_events', 'dynamic-event'],
] as const;

/** ftrace.json: the tracer, its filters and every function that is hooked now, with what its hook is. */
export function ftrace(host: Host, gaps: GapReport[]): Record<string, unknown> | undefined {
  const trace = traceDirectory(host);
  if (trace === undefined) return undefined; // probeRows has named it
  const read = (file: string): string[] | undefined => {
    const found = readWhole(`${trace.path}/${file}`, TABLE_BYTES);
    if (found.kind === 'unreadable') {
      gaps.push(
        gap(
          found.reason,
          `${trace.shown}/${file}`,
          found.reason === 'absent' ? 'this kernel does not have it' : found.detail,
        ),
      );
      return undefined;
    }
    if (found.more) gaps.push(gap('truncated', `${trace.shown}/${file}`, `limit of ${TABLE_BYTES} bytes`));
    return found.bytes
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '');
  };
  return {
    currentTracer: read('current_tracer')?.[0],
    tracingOn: read('tracing_on')?.[0] === '1',
    setFtraceFilter: read('set_ftrace_filter'),
    setFtraceNotrace: read('set_ftrace_notrace'),
    enabledFunctions: read('enabled_functions'),
    touchedFunctions: read('touched_functions'),
  };
}

/** "ffffffff812a1b30  k  do_sys_open+0x0  [nf_tables] [DISABLED][FTRACE]": Documentation/trace/kprobes.rst. */
export function kprobe(line: string): Record<string, unknown> | undefined {
  const match = /^([0-9a-f]{8,16})\s+([a-z])\s+(\S+)\s*(.*)$/.exec(line);
  if (match === null) return undefined;
  const [, address, type, symbol, rest = ''] = match;
  const marks = [...rest.matchAll(/\[([^\]]+)\]/g)].map(([, mark]) => mark ?? '');
  const states = marks.filter((mark) => /^(?:GONE|DISABLED|OPTIMIZED|FTRACE)$/.test(mark));
  const module = rest.replace(/\[[^\]]*\]/g, '').trim() || marks.find((mark) => !states.includes(mark));
  return {
    impound: {
      probe: { kind: type === 'r' ? 'kretprobe' : 'kprobe', address, symbol, ...(module ? { module } : {}), states },
    },
  };
}

/** "p:kprobes/open do_sys_open", "p:uprobes/sh /bin/bash:0x4245c0 %ip": Documentation/trace/kprobetrace.rst. */
export function event(kind: string, line: string): Record<string, unknown> | undefined {
  const match = /^([a-z]\d*)(?::(\S+))? (.*)$/.exec(line);
  if (match === null) return undefined;
  const [, type, name, rest = ''] = match;
  const [target = '', ...args] = rest.split(' ');
  return {
    impound: {
      probe: {
        kind,
        type,
        name,
        ...textField('target', Buffer.from(target, 'latin1')),
        ...(args.length === 0 ? {} : { arguments: args }),
      },
    },
  };
}

function* linesOf(
  path: string,
  shown: string,
  gaps: GapReport[],
  parse: (line: string) => Record<string, unknown> | undefined,
  absent: string,
): Generator<Record<string, unknown>> {
  const found = readWhole(path, TABLE_BYTES);
  if (found.kind === 'unreadable') {
    gaps.push(gap(found.reason, shown, found.reason === 'absent' ? absent : found.detail));
    return;
  }
  if (found.more) gaps.push(gap('truncated', shown, `limit of ${TABLE_BYTES} bytes`));
  let bad = 0;
  for (const line of found.bytes.toString('latin1').split('\n')) {
    const row = parse(line);
    if (row !== undefined) yield row;
    else if (line !== '') bad++;
  }
  if (bad > 0) gaps.push(gap('failed', shown, `${bad} lines could not be read: the raw file is in raw.tar.zst`));
}

/** Documentation/ABI/testing/sysfs-kernel-livepatch: a patch is a module that replaces functions. */
function* livePatches(host: Host, gaps: GapReport[]): Generator<Record<string, unknown>> {
  const directory = `${host.sys}/kernel/livepatch`;
  if (deviceOf(directory) === undefined) return; // no patch has ever been loaded, or the kernel cannot
  try {
    for (const name of readdirSync(directory)) {
      const enabled = readWhole(`${directory}/${name}/enabled`, 64);
      const objects = readdirSync(`${directory}/${name}`, { withFileTypes: true }).filter((entry) =>
        entry.isDirectory(),
      );
      yield {
        impound: {
          probe: {
            kind: 'livepatch',
            name,
            enabled: enabled.kind === 'whole' ? enabled.bytes.toString('latin1').trim() === '1' : undefined,
            objects: objects.map((entry) => entry.name),
          },
        },
      };
    }
  } catch (error) {
    const failure = unreadable(error);
    gaps.push(gap(failure.reason, '/sys/kernel/livepatch', failure.detail));
  }
}

function deviceOf(path: string): number | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.dev;
  } catch (error) {
    unreadable(error); // denied: what is read next says so
    return undefined;
  }
}
