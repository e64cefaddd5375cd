// Who uses a device: mounts of it or of what is made of it, swap, holders. proc_pid_mountinfo(5), proc_swaps(5).
import type { Host } from '../../host/host.ts';
import { MAX_MOUNTINFO } from '../../host/mounts.ts';
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

/** One line of mountinfo; paths one character a byte, octal escapes taken back. */
export interface MountLine {
  readonly number: string;
  readonly point: string;
  readonly type: string;
  readonly source: string;
  readonly options: string;
}

export function usesOf(host: Host, disk: BlockFolder): Uses {
  const all = madeOf(host.sys, disk);
  const numbers = new Map(all.map((device) => [attribute(device, 'dev'), device.name]));
  // btrfs and others mount under a number of their own: these are known by the name of their source
  const sources = new Map(all.flatMap((device) => nodesOf(device).map((node) => [node, device.name])));
  const mounts = new Map<string, MountOf>();
  for (const { number, point, type, source, options } of mountLines(host)) {
    const device = numbers.get(number) ?? sources.get(source);
    if (device === undefined || mounts.size >= MAX_MOUNTS) continue;
    const mount = { device, point, type, readOnly: options.split(',').includes('ro') };
    mounts.set(JSON.stringify(mount), mount);
  }
  const swaps = text(`${host.proc}/swaps`)
    .split('\n')
    .slice(1)
    .map((line) => unescaped(line.split(/\s/)[0] ?? ''));
  return {
    mounts: [...mounts.values()],
    swaps: swaps.filter((node) => sources.has(node)),
    holders: all.slice(1).flatMap((device) => (attribute(device, 'partition') === undefined ? [device.name] : [])),
  };
}

/** Of the host's first process and of this one: the same lines twice where they share a namespace. */
export function mountLines(host: Host): readonly MountLine[] {
  const lines = [`${host.proc}/1/mountinfo`, '/proc/self/mountinfo'].map(text).join('\n');
  return lines.split('\n').flatMap((line) => {
    const [, number = '', point = '', options = '', type = '', source = '', more = ''] =
      /^\d+ \d+ (\S+) \S+ (\S+) (\S+) .*?- (\S+) (\S+) (\S+)$/.exec(line) ?? [];
    if (number === '') return [];
    return [{ number, point: unescaped(point), type, source: unescaped(source), options: `${options},${more}` }];
  });
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

function unescaped(word: string): string {
  return word.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
