// What each container consumes from one second to the next, for stats.jsonl.
import { availableParallelism } from 'node:os';
import { type GapReport, gap } from '../../../capture/index.ts';
import type { KnownContainer } from '../../containers.ts';
import type { Host } from '../../host/host.ts';
import { unreadable } from '../../host/kernel-file.ts';
import { readKernelText } from '../../host/read.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import { type CgroupPlace, cgroupPlace, readUsage, type Usage } from './cgroup.ts';

/** Containers that are sampled: some ten small files each, every second. */
const MAX_CONTAINERS = 256;

export interface ContainerStats {
  /** One row for each container that is still there. */
  sample(): Promise<readonly Record<string, unknown>[]>;
  /** What was not sampled; asked at the end, also what never showed anything. */
  gaps(): readonly GapReport[];
}

interface Watched {
  readonly id: string;
  readonly podUid: string | undefined;
  readonly place: CgroupPlace;
  before?: { readonly at: bigint; readonly usage: Usage };
}

/** Every container with a process, the suspects' first. `known` may learn their names meanwhile. */
export function containerStats(
  host: Host,
  processes: readonly ProcessSummary[],
  known: () => readonly KnownContainer[],
  suspects: ReadonlySet<number>,
): ContainerStats {
  const byId = new Map<string, ProcessSummary>();
  for (const process of processes.toSorted((a, b) => Number(suspects.has(b.pid)) - Number(suspects.has(a.pid)))) {
    const id = process.container?.containerId;
    if (id !== undefined && !byId.has(id)) byId.set(id, process);
  }
  const gaps: GapReport[] = [];
  const watched: Watched[] = [];
  for (const [id, process] of byId) {
    const name = `statistics of container ${id}`;
    if (watched.length >= MAX_CONTAINERS) {
      gaps.push(gap('truncated', name, `more than ${MAX_CONTAINERS} containers: not sampled`));
      continue;
    }
    const place = placeOf(host, process, id);
    if ('kind' in place) gaps.push({ ...place, name });
    else watched.push({ id, podUid: process.container?.podUid, place });
  }
  return {
    gaps: () => [
      ...gaps,
      ...watched
        .filter(({ before }) => before === undefined)
        .map(({ id }) => gap('failed', `statistics of container ${id}`, 'its cgroup shows no counters to us')),
    ],
    async sample() {
      const containers = new Map(known().map((container) => [container.id, container]));
      const rows: Record<string, unknown>[] = [];
      for (const [number, one] of watched.entries()) {
        if (number % 32 === 31) await new Promise(setImmediate);
        const usage = readUsage(one.place);
        if (usage === undefined) continue;
        const at = process.hrtime.bigint();
        rows.push(statsRow(one, containers.get(one.id), usage, at));
        one.before = { at, usage };
      }
      return rows;
    },
  };
}

function placeOf(host: Host, process: ProcessSummary, id: string): CgroupPlace | GapReport {
  try {
    const place = cgroupPlace(host, readKernelText(`${host.proc}/${process.pid}/cgroup`), id);
    return place ?? gap('absent', '', 'no cgroup of its own that we can see');
  } catch (error) {
    const { reason, detail } = unreadable(error);
    return gap(reason, '', detail);
  }
}

/** ECS `container.cpu.usage` is the share of all processors since the sample before; absent in the first. */
function statsRow(
  { id, podUid, before }: Watched,
  known: KnownContainer | undefined,
  usage: Usage,
  at: bigint,
): Record<string, unknown> {
  const seconds = before === undefined ? undefined : Number(at - before.at) / 1e9;
  const rate = (field: 'cpuNanoseconds' | 'readBytes' | 'writtenBytes'): number | undefined => {
    const [then, now] = [before?.usage[field], usage[field]];
    return then === undefined || now === undefined || seconds === undefined ? undefined : (now - then) / seconds;
  };
  const cpu = rate('cpuNanoseconds');
  const { memoryBytes, memoryLimitBytes } = usage;
  const rounded = (value: number | undefined): number | undefined =>
    value === undefined ? undefined : Math.round(value * 10_000) / 10_000;
  return {
    '@timestamp': new Date().toISOString(),
    container: {
      id,
      name: known?.name,
      image: known?.image === undefined ? undefined : { name: known.image },
      cpu: { usage: cpu === undefined ? undefined : rounded(cpu / 1e9 / availableParallelism()) },
      memory: {
        usage:
          memoryBytes === undefined || memoryLimitBytes === undefined
            ? undefined
            : rounded(memoryBytes / memoryLimitBytes),
      },
    },
    impound: {
      podUid,
      seconds: rounded(seconds),
      cpuCores: cpu === undefined ? undefined : rounded(cpu / 1e9),
      readBytesPerSecond: rounded(rate('readBytes')),
      writtenBytesPerSecond: rounded(rate('writtenBytes')),
      ...usage,
    },
  };
}
