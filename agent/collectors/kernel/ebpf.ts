// What shows of eBPF without bpf(2): descriptors of processes, pinned objects, symbols of compiled programs.

import { lstatSync, readdirSync } from 'node:fs';
import { type GapReport, gap } from '../../../capture/index.ts';
import { fileMode } from '../../host/file-fields.ts';
import type { Host } from '../../host/host.ts';
import { readWhole, unreadable } from '../../host/kernel-file.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import { type Held, heldDescriptors } from '../sockets/descriptors.ts';
import { LINK_TYPES, MAP_TYPES, PROGRAM_TYPES } from './bpf-types.ts';
import type { BpfSymbol } from './symbols.ts';

const MOST_PINNED = 20_000;

/** Rows of ebpf.jsonl; gaps go to `gaps`. */
export async function* ebpfRows(
  host: Host,
  processes: readonly ProcessSummary[],
  symbols: readonly BpfSymbol[],
  gaps: GapReport[],
): AsyncGenerator<Record<string, unknown>> {
  const { held, denied } = await heldDescriptors(host, processes, 'anon_inode:');
  for (const pid of denied) gaps.push(gap('denied', `pid ${pid} fd`, 'BPF objects it holds are not seen'));
  for (const descriptor of held) {
    const row = descriptorRow(host, descriptor, gaps);
    if (row !== undefined) yield row;
  }
  yield* pinned(host, gaps);
  for (const symbol of symbols)
    yield { impound: { ebpf: { seen: 'symbol', kind: symbol.tag === undefined ? 'other' : 'program', ...symbol } } };
}

const KINDS: Readonly<Record<string, string>> = {
  'bpf-prog': 'program',
  'bpf-map': 'map',
  'bpf-link': 'link',
  bpf_link: 'link',
  bpf_iter: 'iterator',
  btf: 'btf',
  'bpf-token': 'token',
  '[perf_event]': 'perf-event',
};

function descriptorRow(
  host: Host,
  { process, fd, target }: Held,
  gaps: GapReport[],
): Record<string, unknown> | undefined {
  const kind = KINDS[target.slice('anon_inode:'.length)];
  if (kind === undefined) return undefined;
  const path = `/proc/${process.pid}/fdinfo/${fd}`;
  const found = readWhole(`${host.proc}/${process.pid}/fdinfo/${fd}`, 64 * 1024);
  if (found.kind === 'unreadable') {
    // its directory was listed a moment ago: what is not there now has gone
    gaps.push(gap(found.reason === 'absent' ? 'vanished' : found.reason, path, found.detail));
  }
  const info = found.kind === 'whole' ? fdinfoFields(found.bytes.toString('utf8')) : undefined;
  return {
    process: { pid: process.pid, name: process.comm, executable: process.exe },
    ...(process.container?.containerId === undefined ? {} : { container: { id: process.container.containerId } }),
    impound: {
      ebpf: {
        seen: 'descriptor',
        kind,
        fd,
        ownerStartTicks: process.startTicks,
        ...(info === undefined ? {} : { type: typeOf(kind, info), fdinfo: info }),
      },
    },
  };
}

/** "prog_id:\t97" and so on, names as the kernel has them, values as text. */
export function fdinfoFields(text: string): Record<string, string> {
  const fields: [string, string][] = [];
  for (const line of text.split('\n').slice(0, 256)) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.push([line.slice(0, colon).trim(), line.slice(colon + 1).trim()]);
  }
  return Object.fromEntries(fields);
}

function typeOf(kind: string, info: Readonly<Record<string, string>>): string | undefined {
  if (kind === 'program') return PROGRAM_TYPES[Number(info.prog_type)];
  if (kind === 'map') return MAP_TYPES[Number(info.map_type)];
  // newer kernels print a link's type as its name
  if (kind === 'link') return LINK_TYPES[Number(info.link_type)] ?? info.link_type;
  return undefined;
}

/** Names only: opening a pinned iterator would run its program. */
function* pinned(host: Host, gaps: GapReport[]): Generator<Record<string, unknown>> {
  const waiting = [''];
  let count = 0;
  for (let below = waiting.pop(); below !== undefined; below = waiting.pop()) {
    const shown = `/sys/fs/bpf${below}`;
    try {
      for (const name of readdirSync(`${host.sys}/fs/bpf${below}`)) {
        if (++count > MOST_PINNED) {
          gaps.push(
            gap('truncated', shown, `limit of ${MOST_PINNED} pinned objects; how many are left was not counted`),
          );
          return;
        }
        const stats = lstatSync(`${host.sys}/fs/bpf${below}/${name}`, { throwIfNoEntry: false });
        if (stats === undefined) continue;
        if (stats.isDirectory()) waiting.push(`${below}/${name}`);
        yield {
          file: {
            path: `${shown}/${name}`,
            uid: String(stats.uid),
            gid: String(stats.gid),
            mode: fileMode(stats.mode),
            ctime: stats.ctime.toISOString(),
            type: stats.isDirectory() ? 'dir' : stats.isSymbolicLink() ? 'symlink' : 'file',
          },
          impound: { ebpf: { seen: 'pinned', kind: stats.isDirectory() ? 'directory' : 'object' } },
        };
      }
    } catch (error) {
      const failure = unreadable(error);
      gaps.push(gap(failure.reason, shown, failure.detail));
    }
  }
}
