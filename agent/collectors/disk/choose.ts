// Which devices are imaged: those that were named, else the node's disks; and those that are not, with why.

import { closeSync, fstatSync, openSync, realpathSync } from 'node:fs';
import { type GapReport, gap } from '../../../capture/index.ts';
import { deviceText } from '../../host/device-number.ts';
import { gapOf } from '../../host/errno.ts';
import type { Host } from '../../host/host.ts';
import { O_PATH_NOFOLLOW } from '../../host/open.ts';
import { devicesUnder } from './own.ts';
import { attribute, type BlockFolder, byNumber, listBlock, sizeOf, slavesOf } from './sysfs.ts';

/** Memory, drives without a medium of their own, and what stands on files that are imaged with their disk. */
const NO_DISKS = /^(?:loop|ram|zram|fd|sr)\d+$/;
const HOLDS_STORE =
  'it holds the store, and its image would hold itself: give --store on another disk or s3://, or name it with --device';
const HOLDS_STORE_NAMED = 'it holds the store: the image changes by being written, and holds parts of itself';

export interface Chosen {
  readonly folder: BlockFolder;
  /** Device nodes that may be this device, tried in order. */
  readonly nodes: readonly string[];
}

export interface Choice {
  readonly chosen: readonly Chosen[];
  readonly gaps: readonly GapReport[];
}

export function chooseDevices(host: Host, named: readonly string[], ownFolders: readonly string[]): Choice {
  const own = devicesUnder(host, ownFolders);
  return named.length > 0 ? namedDevices(host, named, own) : disksOf(host, own);
}

function namedDevices(host: Host, named: readonly string[], own: ReadonlySet<string>): Choice {
  const chosen = new Map<string, Chosen>();
  const gaps: GapReport[] = [];
  for (const path of named) {
    try {
      // a person may well name a link such as /dev/disk/by-id/…
      const node = realpathSync(path);
      const number = numberOfNode(node);
      const folder = number === undefined ? undefined : byNumber(host.sys, number);
      if (number === undefined) gaps.push(gap('skipped', path, 'not a block device: only block devices are imaged'));
      else if (folder === undefined) gaps.push(gap('absent', path, 'a device node with no device behind it'));
      else if (sizeOf(folder) === 0) gaps.push(gap('absent', path, 'the device has no medium'));
      else if (!chosen.has(folder.name)) {
        chosen.set(folder.name, { folder, nodes: [node] });
        if (own.has(folder.name)) gaps.push(gap('truncated', path, HOLDS_STORE_NAMED));
      }
    } catch (error) {
      gaps.push(gapOf(error, path, 'absent'));
    }
  }
  return { chosen: [...chosen.values()], gaps };
}

function disksOf(host: Host, own: ReadonlySet<string>): Choice {
  const chosen: Chosen[] = [];
  const gaps: GapReport[] = [];
  for (const folder of listBlock(host.sys)) {
    if (NO_DISKS.test(folder.name) || sizeOf(folder) === 0) continue;
    // paths of one multipath namespace, and what is made of disks that are imaged themselves
    if (attribute(folder, 'hidden') === '1' || slavesOf(host.sys, folder).length > 0) continue;
    const node = `/dev/${folder.name.replaceAll('!', '/')}`;
    if (own.has(folder.name)) gaps.push(gap('skipped', node, HOLDS_STORE));
    else chosen.push({ folder, nodes: [...new Set([host.path(node), node])] });
  }
  if (chosen.length + gaps.length === 0) gaps.push(gap('absent', 'disks'));
  return { chosen, gaps };
}

/** MAJOR:MINOR of a block device's node; undefined for anything else. Throws the system's errors. */
function numberOfNode(path: string): string | undefined {
  const pinned = openSync(path, O_PATH_NOFOLLOW);
  try {
    const stats = fstatSync(pinned, { bigint: true });
    return stats.isBlockDevice() ? deviceText(stats.rdev) : undefined;
  } finally {
    closeSync(pinned);
  }
}
