// What a container consumes, as its cgroup counts it, whichever engine runs it. cgroups(7), kernel documents
// admin-guide/cgroup-v1 and admin-guide/cgroup-v2.

import type { Host } from '../../host/host.ts';
import { containerCgroup } from '../../host/identity.ts';
import { readWhole } from '../../host/kernel-file.ts';

/** Folders of one container: by controller with version 1, one for all ("") with version 2. */
export interface CgroupPlace {
  readonly folders: ReadonlyMap<string, string>;
}

/** Counters since the container began; undefined fields are not counted on this node. */
export interface Usage {
  readonly cpuNanoseconds?: number | undefined;
  readonly throttledNanoseconds?: number | undefined;
  readonly throttledPeriods?: number | undefined;
  readonly memoryBytes?: number | undefined;
  readonly memoryLimitBytes?: number | undefined;
  readonly memoryPeakBytes?: number | undefined;
  readonly outOfMemoryKills?: number | undefined;
  readonly readBytes?: number | undefined;
  readonly writtenBytes?: number | undefined;
  readonly pids?: number | undefined;
  readonly pidsLimit?: number | undefined;
}

const FILE_BYTES = 65_536;
/** A limit that is none: version 1 says so by the largest number of whole pages. */
const NO_LIMIT = 2 ** 62;
const CONTROLLERS = ['cpuacct', 'cpu', 'memory', 'blkio', 'pids'];

/** From the text of /proc/PID/cgroup; the container's own cgroup is taken where the process is in one below it. */
export function cgroupPlace(host: Host, text: string, containerId: string): CgroupPlace | undefined {
  const folders = new Map<string, string>();
  for (const line of text.split('\n', 64)) {
    const [, hierarchy, controllers = '', path = ''] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    const own = containerCgroup(path, containerId);
    if (hierarchy === undefined || own === undefined) continue;
    if (hierarchy === '0') {
      folders.set('', `${host.sys}/fs/cgroup${own}`);
      continue;
    }
    for (const controller of controllers.split(',')) {
      if (CONTROLLERS.includes(controller)) folders.set(controller, `${host.sys}/fs/cgroup/${controllers}${own}`);
    }
  }
  return folders.size === 0 ? undefined : { folders };
}

/** Undefined where nothing is there any more. */
export function readUsage({ folders }: CgroupPlace): Usage | undefined {
  const text = (controller: string, file: string): string | undefined => {
    const folder = folders.get(controller);
    const read = folder === undefined ? undefined : readWhole(`${folder}/${file}`, FILE_BYTES);
    return read?.kind === 'whole' ? read.bytes.toString('latin1') : undefined;
  };
  const usage = text('', 'cpu.stat')?.includes('usage_usec') === true ? versionTwo(text) : versionOne(text);
  return Object.values(usage).some((value) => value !== undefined) ? usage : undefined;
}

type Text = (controller: string, file: string) => string | undefined;

function versionTwo(text: Text): Usage {
  const cpu = keyed(text('', 'cpu.stat'));
  const io = text('', 'io.stat');
  return {
    cpuNanoseconds: times(cpu.get('usage_usec'), 1000),
    throttledNanoseconds: times(cpu.get('throttled_usec'), 1000),
    throttledPeriods: cpu.get('nr_throttled'),
    memoryBytes: number(text('', 'memory.current')),
    memoryLimitBytes: number(text('', 'memory.max')),
    memoryPeakBytes: number(text('', 'memory.peak')),
    outOfMemoryKills: keyed(text('', 'memory.events')).get('oom_kill'),
    readBytes: sum(io, /\brbytes=(\d+)/g),
    writtenBytes: sum(io, /\bwbytes=(\d+)/g),
    pids: number(text('', 'pids.current')),
    pidsLimit: number(text('', 'pids.max')),
  };
}

function versionOne(text: Text): Usage {
  const cpu = keyed(text('cpu', 'cpu.stat'));
  const io = text('blkio', 'blkio.throttle.io_service_bytes');
  return {
    cpuNanoseconds: number(text('cpuacct', 'cpuacct.usage')),
    throttledNanoseconds: cpu.get('throttled_time'),
    throttledPeriods: cpu.get('nr_throttled'),
    memoryBytes: number(text('memory', 'memory.usage_in_bytes')),
    memoryLimitBytes: number(text('memory', 'memory.limit_in_bytes')),
    memoryPeakBytes: number(text('memory', 'memory.max_usage_in_bytes')),
    outOfMemoryKills: keyed(text('memory', 'memory.oom_control')).get('oom_kill'),
    readBytes: sum(io, /^\S+ Read (\d+)$/gm),
    writtenBytes: sum(io, /^\S+ Write (\d+)$/gm),
    pids: number(text('pids', 'pids.current')),
    pidsLimit: number(text('pids', 'pids.max')),
  };
}

/** "max" and version 1's largest number are no limit. */
function number(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? '';
  const value = /^\d+$/.test(trimmed) ? Number(trimmed) : undefined;
  return value === undefined || value >= NO_LIMIT ? undefined : value;
}

function keyed(text: string | undefined): ReadonlyMap<string, number> {
  const found = [...(text ?? '').matchAll(/^(\w+) (\d+)$/gm)];
  return new Map(found.map(([, name = '', value]) => [name, Number(value)]));
}

function sum(text: string | undefined, pattern: RegExp): number | undefined {
  if (text === undefined) return undefined;
  return [...text.matchAll(pattern)].reduce((total, [, value]) => total + Number(value), 0);
}

function times(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor;
}
