// Who uses a device: mounts of it or of what is made of it, swap, holders. proc_pid_mountinfo(5), proc_swaps(5).
import type { Host } from '../../host/host.ts';
import { MAX_MOUNTINFO, type MountLine, mountLines, unescapeOctal } from '../../host/mountinfo.ts';
import { kernelReader } from '../../host/read.ts';
import { attribute, type BlockFolder, madeOf } from './sysfs.ts';

const MAX_MOUNTS = 1000;

export interface MountOf {
  readonly device: string;
  readonly point: string;
  readonly type: string;
  readonly readOnly: boolean;
}

export interface Uses {
  /** In the namespace of the host's first process or in this one's; there may be others. */
  readonly mounts: readonly MountOf[];
  readonly swaps: readonly string[];
  /** What is made of it or of its partitions: "dm-0", "md127". */
  readonly holders: readonly string[];
}

export function usesOf(host: Host, disk: BlockFolder): Uses {
  const all = madeOf(host.sys, disk);
  const numbers = new Map(all.map((device) => [attribute(device, 'dev'), device.name]));
  // btrfs and others mount under a number of their own: these are known by the name of their source
  const sources = new Map(all.flatMap((device) => nodesOf(device).map((node) => [node, device.name])));
  const mounts = new Map<string, MountOf>();
  for (const { device: number, point, type, source, options, superOptions } of seenMounts(host)) {
    const device = numbers.get(number) ?? sources.get(source);
    if (device === undefined || mounts.size >= MAX_MOUNTS) continue;
    const mount = { device, point, type, readOnly: `${options},${superOptions}`.split(',').includes('ro') };
    mounts.set(JSON.stringify(mount), mount);
  }
  const swaps = text(`${host.proc}/swaps`)
    .split('\n')
    .slice(1)
    .map((line) => unescapeOctal(line.split(/\s/)[0] ?? ''));
  return {
    mounts: [...mounts.values()],
    swaps: swaps.filter((node) => sources.has(node)),
    holders: all.slice(1).flatMap((device) => (attribute(device, 'partition') === undefined ? [device.name] : [])),
  };
}

/** Of the host's first process and of this one: the same lines twice where they share a namespace. */
export function seenMounts(host: Host): readonly MountLine[] {
  return [`${host.proc}/1/mountinfo`, '/proc/self/mountinfo'].flatMap((table) => [...mountLines(text(table))]);
}

function nodesOf(device: BlockFolder): readonly string[] {
  const mapped = attribute(device, 'dm/name');
  const node = `/dev/${device.name.replaceAll('!', '/')}`;
  return mapped === undefined ? [node] : [node, `/dev/mapper/${mapped}`];
}

function text(path: string): string {
  try {
    return kernelReader().read(path, MAX_MOUNTINFO).bytes.toString('latin1');
  } catch {
    return ''; // refused or not there: the caller asks elsewhere, or there is none
  }
}
