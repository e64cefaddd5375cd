// Opens a device for reading, and only where the node is the device that sysfs means: the host made its nodes itself.

import { closeSync, constants, fstatSync, open, openSync } from 'node:fs';
import { promisify } from 'node:util';
import { deviceText } from '../../host/device-number.ts';
import { errnoOf, Refusal } from '../../host/errno.ts';
import { O_PATH_NOFOLLOW } from '../../host/open.ts';
import type { Chosen } from './choose.ts';
import { Hung, unlessHung } from './source.ts';
import { attribute, sizeOf } from './sysfs.ts';

const openAsync = promisify(open);

/** An open device; the caller closes `fd`. */
export interface OpenDevice {
  readonly fd: number;
  /** The node it was opened through. */
  readonly path: string;
  /** False once the device has been removed, or another stands in its place. */
  present(): boolean;
}

/** Throws a Refusal, or the system's error of the last node that was tried. */
export async function openDevice({ folder, nodes }: Chosen, hungMilliseconds: number): Promise<OpenDevice> {
  const number = attribute(folder, 'dev');
  const size = sizeOf(folder);
  const sequence = attribute(folder, 'diskseq');
  // diskseq tells a device from the next one of the same name; kernels before 5.15 have none
  const present = (): boolean =>
    attribute(folder, 'dev') === number && attribute(folder, 'diskseq') === sequence && sizeOf(folder) === size;
  let failure: unknown;
  for (const path of nodes) {
    try {
      return { fd: await openNode(path, number, hungMilliseconds), path, present };
    } catch (error) {
      if (error instanceof Hung) throw error;
      // a mount without devices (EACCES) or an image without the node says nothing of the next one
      if (failure === undefined || errnoOf(failure) === 'ENOENT') failure = error;
    }
  }
  throw failure;
}

/** Off this thread: opening waits where the device is just being closed for the last time, and does not answer. */
async function openNode(path: string, number: string | undefined, hungMilliseconds: number): Promise<number> {
  const pinned = openSync(path, O_PATH_NOFOLLOW);
  try {
    const stats = fstatSync(pinned, { bigint: true });
    if (!stats.isBlockDevice() || deviceText(stats.rdev) !== number) {
      throw new Refusal(
        'failed',
        'the node in /dev is not the device of that name in /sys: name the right one with --device',
      );
    }
    return await unlessHung(
      openAsync(`/proc/self/fd/${pinned}`, constants.O_RDONLY | constants.O_NONBLOCK),
      hungMilliseconds,
    );
  } finally {
    closeSync(pinned);
  }
}
