// Block devices as sysfs shows them: attributes, partitions, what they are made of and what is made of them.
// Documentation/ABI/stable/sysfs-block of the kernel.
import { readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { readKernelText } from '../../host/read.ts';

/** The kernel counts sectors of 512 bytes, whatever the device's own are. */
export const SECTOR_BYTES = 512;
/** Names in one folder, and devices above or below one, at most. */
const MAX_NAMES = 4096;

/** A device's folder in sysfs; of a disk or of a partition. */
export interface BlockFolder {
  /** "sda", "sda1", "dm-0"; "/" in a name stands as "!". */
  readonly name: string;
  readonly path: string;
}

/** Undefined for what this device does not have. */
export function attribute(folder: BlockFolder, name: string): string | undefined {
  try {
    return readKernelText(`${folder.path}/${name}`, 4096).trim();
  } catch {
    return undefined; // absent or not readable: either way sysfs does not say
  }
}

export function listBlock(sys: string): readonly BlockFolder[] {
  return names(`${sys}/block`).map((name) => ({ name, path: `${sys}/block/${name}` }));
}

/** Undefined where the number is no block device's, such as that of tmpfs or btrfs. */
export function byNumber(sys: string, number: string): BlockFolder | undefined {
  try {
    const path = realpathSync(`${sys}/dev/block/${number}`);
    return { name: basename(path), path };
  } catch {
    return undefined;
  }
}

export function partitionsOf(disk: BlockFolder): readonly BlockFolder[] {
  const children = names(disk.path).map((name) => ({ name, path: join(disk.path, name) }));
  return children.filter((child) => attribute(child, 'partition') !== undefined);
}

/** The disk that a partition is on. */
export function wholeOf(folder: BlockFolder): BlockFolder | undefined {
  if (attribute(folder, 'partition') === undefined) return undefined;
  try {
    const path = dirname(realpathSync(folder.path));
    return { name: basename(path), path };
  } catch {
    return undefined;
  }
}

/** What a device mapper, md or bcache device is made of. */
export function slavesOf(sys: string, folder: BlockFolder): readonly BlockFolder[] {
  return related(sys, folder, 'slaves');
}

/** What is made of it. */
export function holdersOf(sys: string, folder: BlockFolder): readonly BlockFolder[] {
  return related(sys, folder, 'holders');
}

/** The device itself, its partitions, and all that is made of these. */
export function madeOf(sys: string, disk: BlockFolder): readonly BlockFolder[] {
  const found = new Map<string, BlockFolder>();
  const waiting = [disk];
  for (let item = waiting.pop(); item !== undefined && found.size < MAX_NAMES; item = waiting.pop()) {
    if (found.has(item.name)) continue;
    found.set(item.name, item);
    waiting.push(...partitionsOf(item), ...holdersOf(sys, item));
  }
  return [...found.values()];
}

/** Bytes. */
export function sizeOf(folder: BlockFolder): number {
  return Number(attribute(folder, 'size') ?? 0) * SECTOR_BYTES;
}

/** By their numbers: the links' own names may be anything in a tree that was copied. */
function related(sys: string, folder: BlockFolder, kind: 'slaves' | 'holders'): readonly BlockFolder[] {
  return names(`${folder.path}/${kind}`).flatMap((name) => {
    const number = attribute({ name, path: `${folder.path}/${kind}/${name}` }, 'dev');
    const device = number === undefined ? undefined : byNumber(sys, number);
    return device === undefined ? [] : [device];
  });
}

function names(path: string): readonly string[] {
  try {
    return readdirSync(path).sort().slice(0, MAX_NAMES);
  } catch {
    return []; // no such folder: none of these
  }
}
