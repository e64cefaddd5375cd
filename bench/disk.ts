// Speed of a disk's image: a real block device into a bundle, beside dd, zstd and sha256sum.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeBundle } from '../test/helpers/bundle.ts';
import { diskCollector } from '../test/helpers/disk-bundle.ts';
import { type Measured, runProgram, seconds, sideBySide } from './measure.ts';

const MEBIBYTE = 1024 ** 2;
const DEVICE_BYTES = 1536 * MEBIBYTE;

/** Needs root, for a loop device. */
export async function measureDisk(rounds: number): Promise<readonly Measured[]> {
  const folder = await mkdtemp(join(tmpdir(), 'impound-bench-'));
  const file = join(folder, 'disk');
  let device: string | undefined;
  try {
    await makeDisk(file);
    device = execFileSync('losetup', ['--read-only', '--find', '--show', file]).toString().trim();
    return [await image(folder, device, rounds)];
  } finally {
    if (device !== undefined) execFileSync('losetup', ['-d', device]);
    await rm(folder, { recursive: true, force: true });
  }
}

/** A third each of what is like text, random, and zero, as a disk in use is. */
async function makeDisk(file: string): Promise<void> {
  const words = Buffer.from(Array.from({ length: 116_509 }, () => randomBytes(4).toString('hex')).join(' '));
  const text = words.subarray(0, MEBIBYTE);
  const handle = await open(file, 'w');
  await handle.truncate(DEVICE_BYTES);
  for (let at = 0; at < DEVICE_BYTES; at += MEBIBYTE) {
    const kind = Math.floor(at / (32 * MEBIBYTE)) % 3;
    if (kind < 2) await handle.write(kind === 0 ? text : randomBytes(MEBIBYTE), 0, MEBIBYTE, at);
  }
  await handle.sync();
  await handle.close();
}

async function image(folder: string, device: string, rounds: number): Promise<Measured> {
  const floorCommand = `dd if='${device}' bs=1M status=none | zstd -q -1 | sha256sum`;
  const { ours, floor } = await sideBySide(
    rounds,
    () => seconds(() => store(folder, device)),
    () => seconds(() => runProgram('sh', ['-c', floorCommand])),
  );
  const rate = (time: number): string => `${(DEVICE_BYTES / time / 1e6).toFixed(0)} MB/s`;
  return {
    what: `disk of ${(DEVICE_BYTES / 1e9).toFixed(1)} GB imaged into a bundle, stored`,
    figure: rate(ours),
    floor: `${rate(floor)} dd | zstd -1 | sha256sum, not stored`,
    ratio: `${((100 * floor) / ours).toFixed(0)} %`,
    wanted: 'at least 80 %',
    met: floor / ours >= 0.8,
  };
}

async function store(folder: string, device: string): Promise<void> {
  const made = await makeBundle(folder, [diskCollector({ devices: [device] })]);
  await rm(made.path, { recursive: true });
}
