// Which disks hold the folders of the capture itself: an image of the disk it is written to would never end.

import { statSync } from 'node:fs';
import { deviceText } from '../../host/device-number.ts';
import type { Host } from '../../host/host.ts';
import { superOption } from '../../host/mountinfo.ts';
import { seenMounts } from './mounted.ts';
import { attribute, type BlockFolder, byNumber, slavesOf, wholeOf } from './sysfs.ts';

/** More than any stack of device mapper, loop and overlay has. */
const MAX_STEPS = 256;

/**
 * Names of the devices that the folders' bytes end on, whole disks, partitions and what lies between. A folder on tmpfs
 * or on a server has none. Folders are as this process sees them, and so are the backing files of its loop devices.
 */
export function devicesUnder(host: Host, folders: readonly string[]): ReadonlySet<string> {
  const found = new Map<string, BlockFolder>();
  const paths = [...folders];
  const seen = new Set<string>();
  for (let step = 0; step < MAX_STEPS; step++) {
    const path = paths.pop();
    if (path === undefined) break;
    if (seen.has(path)) continue;
    seen.add(path);
    const number = deviceOf(path);
    if (number === undefined) continue;
    const device = byNumber(host.sys, number);
    if (device !== undefined) paths.push(...below(host, device, found));
    else paths.push(...behind(host, number));
  }
  return new Set(found.keys());
}

/** Adds the device and all that it is made of; returns the files that loop devices among them stand on. */
function below(host: Host, device: BlockFolder, found: Map<string, BlockFolder>): readonly string[] {
  const files: string[] = [];
  const waiting = [device];
  for (let item = waiting.pop(); item !== undefined; item = waiting.pop()) {
    if (found.has(item.name)) continue;
    found.set(item.name, item);
    const whole = wholeOf(item);
    waiting.push(...(whole === undefined ? [] : [whole]), ...slavesOf(host.sys, item));
    const file = attribute(item, 'loop/backing_file');
    if (file !== undefined) files.push(host.path(file), file);
  }
  return files;
}

/** File systems with a number of their own: overlay writes to its upper directory, btrfs to the device it names. */
function behind(host: Host, number: string): readonly string[] {
  return seenMounts(host)
    .filter(({ device }) => device === number)
    .flatMap((mount) => {
      const upper = mount.type === 'overlay' ? superOption(mount, 'upperdir') : undefined;
      if (upper !== undefined) return [host.path(upper), upper];
      return /^\/dev\//.test(mount.source) ? [mount.source, host.path(mount.source)] : [];
    });
}

/** A block device's own number, a folder's or file's that of its file system. */
function deviceOf(path: string): string | undefined {
  try {
    const stats = statSync(path, { bigint: true });
    return deviceText(stats.isBlockDevice() ? stats.rdev : stats.dev);
  } catch {
    return undefined; // not there, or not to be seen from here
  }
}
