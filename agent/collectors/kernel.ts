// The running kernel: modules, taint, sysctls, log, programs it starts, keys, hooks, eBPF, and its raw files.
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import { jsonLines, tarArchive } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import type { Host } from '../host/host.ts';
import { readWhole } from '../host/kernel-file.ts';
import { listedObjects } from './kernel/bpftool.ts';
import { ebpfRows } from './kernel/ebpf.ts';
import { handlerRows } from './kernel/handlers.ts';
import { keyRows } from './kernel/keyrings.ts';
import { kernelLog } from './kernel/log.ts';
import { moduleTable } from './kernel/modules.ts';
import { ftrace, probeRows } from './kernel/probes.ts';
import { rawMembers } from './kernel/raw.ts';
import { readSymbols } from './kernel/symbols.ts';
import { sysctls } from './kernel/sysctls.ts';
import { decodeTaint } from './kernel/taint.ts';

/**
 * Reads only what does nothing when it is read: not /proc/kmsg and trace_pipe, which take from others, not
 * /proc/kcore, no write-only file. Mounts nothing and triggers no automount.
 */
export const kernel = Object.freeze({
  name: 'kernel',
  description:
    'kernel modules (with hidden ones by cross-view), taint, sysctls, dmesg, programs the kernel starts, key rings, kprobes, ftrace, eBPF objects that are held or pinned',
  phase: 'volatile',
  volatility: 50,
  artefacts: [
    '50-kernel/modules.jsonl',
    '50-kernel/taint.json',
    '50-kernel/sysctls.jsonl',
    '50-kernel/dmesg.jsonl',
    '50-kernel/handlers.jsonl',
    '50-kernel/keyrings.jsonl',
    '50-kernel/kprobes.jsonl',
    '50-kernel/ftrace.json',
    '50-kernel/ebpf.jsonl',
    '50-kernel/raw.tar.zst',
  ],
  needs: [
    { kind: 'path', name: '/proc', without: 'nothing but what sysfs has' },
    { kind: 'path', name: '/dev/kmsg', without: 'sequence numbers and dictionaries of dmesg, and what was cleared' },
    { kind: 'program', name: 'dmesg', without: "dmesg where /dev/kmsg may not be opened, or is not the kernel's" },
    { kind: 'path', name: '/sys/kernel/tracing', without: 'kprobe events and ftrace' },
    { kind: 'program', name: 'bpftool', without: 'eBPF objects that no process holds and nothing pins' },
    { kind: 'capability', name: 'CAP_SYSLOG', without: 'addresses in kallsyms, and dmesg where it is restricted' },
    { kind: 'capability', name: 'CAP_SYS_PTRACE', without: 'eBPF objects held by others' },
  ],
  limits: { bytes: 512 * 1024 ** 2, seconds: 60 },
  collect,
} as const satisfies Collector<NodeContext>);

async function* collect(context: NodeContext): ReturnType<Collector<NodeContext>['collect']> {
  const { host, signal } = context;
  const gaps: GapReport[] = [];
  // small tables are complete before they are handed over; dmesg, sysctls and the raw files stream
  const symbols = await readSymbols(host, signal);
  if (symbols.kind === 'unreadable') gaps.push(gap(symbols.reason, '/proc/kallsyms', symbols.detail));
  else if (symbols.truncated !== undefined) gaps.push(gap('truncated', '/proc/kallsyms', symbols.truncated));
  const known = symbols.kind === 'symbols' ? symbols : undefined;
  if (known?.addresses === false) {
    gaps.push(
      gap(
        'denied',
        'addresses in /proc/kallsyms',
        'all are zero: they take CAP_SYSLOG and kernel.kptr_restrict below 2',
      ),
    );
  }
  if (known !== undefined && known.bpfDropped > 0)
    gaps.push(gap('truncated', 'eBPF symbols', `${known.bpfDropped} left; /proc/kallsyms is in raw.tar.zst`));
  const modules = moduleTable(host, known?.modules);
  gaps.push(...modules.gaps);
  yield table('modules', '/proc/modules, /sys/module, /proc/kallsyms', modules.rows);
  const taint = taintOf(host, modules.taints, gaps);
  if (taint !== undefined) yield document('taint', '/proc/sys/kernel/tainted', taint);
  const { source, rows } = kernelLog(context, gaps);
  const log = finishing(table('dmesg', source, rows), signal);
  yield log.artefact;
  const processes = await context.walk.index();
  yield table('handlers', '/proc, /sys', [...handlerRows(host, processes, gaps)]);
  yield table('keyrings', '/proc/keys', [...keyRows(host, gaps)]);
  yield table('kprobes', '/sys/kernel', [...probeRows(host, gaps)]);
  const functions = ftrace(host, gaps);
  if (functions !== undefined) yield document('ftrace', '/sys/kernel/tracing', functions);
  const objects: object[] = [...(await listedObjects(context, gaps))];
  for await (const row of ebpfRows(host, processes, known?.bpf ?? [], gaps)) objects.push(row);
  yield table('ebpf', '/proc/PID/fdinfo, /sys/fs/bpf, /proc/kallsyms', objects);
  const values = finishing(table('sysctls', '/proc/sys', sysctls(host, gaps, signal)), signal);
  yield values.artefact;
  const raw = tarArchive(rawMembers(host, known, gaps, signal));
  const archive = finishing(artefact('raw.tar.zst', '/proc, /sys', raw), signal);
  yield archive.artefact;
  await Promise.all([log.finished, values.finished, archive.finished]);
  yield* gaps;
}

function taintOf(host: Host, moduleTaints: string | undefined, gaps: GapReport[]): unknown {
  const shown = '/proc/sys/kernel/tainted';
  const found = readWhole(`${host.proc}/sys/kernel/tainted`, 256);
  if (found.kind === 'unreadable') {
    gaps.push(gap(found.reason, shown, found.detail));
    return undefined;
  }
  const taint = decodeTaint(found.bytes.toString('latin1'), moduleTaints);
  if (taint === undefined) gaps.push(gap('failed', shown, 'not a number: the value is in sysctls.jsonl'));
  return taint;
}

function table(name: string, source: string, rows: AsyncIterable<unknown> | Iterable<unknown>): Artefact {
  return artefact(`${name}.jsonl`, source, jsonLines(rows));
}

function document(name: string, source: string, value: unknown): Artefact {
  return artefact(`${name}.json`, source, jsonLines([value]));
}

function artefact(name: string, source: string, content: AsyncIterable<Uint8Array>): Artefact {
  return { kind: 'artefact', path: `50-kernel/${name}`, source, content };
}

/** The artefact, and when its content has been read to the end, or will not be any more: its gaps are known then. */
function finishing(
  item: Artefact,
  signal: AbortSignal,
): { readonly artefact: Artefact; readonly finished: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  else signal.addEventListener('abort', () => resolve(), { once: true });
  async function* watched(): AsyncGenerator<Uint8Array> {
    try {
      yield* item.content;
    } finally {
      resolve();
    }
  }
  return { artefact: { ...item, content: watched() }, finished: promise };
}
