import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readAround } from '../../../agent/collectors/disk/around.ts';
import { SIZES } from '../../../agent/collectors/disk/sizes.ts';
import type { Source } from '../../../agent/collectors/disk/source.ts';
import { collectDisks, disk } from '../../../agent/collectors/disk.ts';
import { hostAt } from '../../../agent/host/host.ts';
import type { Collector } from '../../../capture/index.ts';
import { readWhole, verifyBundle } from '../../../evidence/index.ts';
import { type MadeBundle, makeBundle } from '../../helpers/bundle.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { bundleOf, diskCollector, restoredDisk } from '../../helpers/disk-bundle.ts';
import { failingDevice, loopDevice } from '../../helpers/loop-device.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

const MEBIBYTE = 1024 ** 2;

async function gapsOf(made: MadeBundle) {
  const bytes = await readWhole(made.store, 'data/00-meta/gaps.jsonl', MEBIBYTE);
  return rowsOf(bytes) as { reason: string; names: string[]; detail: string }[];
}

async function randomFile(t: TestContext, bytes: number): Promise<{ readonly file: string; readonly content: Buffer }> {
  const file = join(await temporaryFolder(t), 'content');
  const content = randomBytes(bytes);
  await writeFile(file, content);
  return { file, content };
}

test('bad sectors in the middle lose themselves only: all around them is read, and they are mapped', async (t) => {
  if (!needs(t, 'losetup')) return;
  const { file, content } = await randomFile(t, 24 * MEBIBYTE);
  const bad = { start: 9 * MEBIBYTE + 8192, end: 9 * MEBIBYTE + 8192 + 12_288 };
  const device = await failingDevice(t, file, { ...bad, how: 'eio' });
  const made = await bundleOf(t, { devices: [device.path] });
  const { file: restored, result } = await restoredDisk(t, made, device.name);
  assert.equal(result.unreadable + result.untried, 12_288);
  assert.ok(result.unreadable > 0);
  const expected = Buffer.from(content).fill(0, bad.start, bad.end);
  assert.ok((await readFile(restored)).equals(expected));
  const [unreadable, untried] = await gapsOf(made);
  assert.match(`${unreadable?.reason} ${unreadable?.names[0]}`, /^failed loop\d+: 8192 of 25165824 bytes in 1 ranges$/);
  assert.match(untried?.detail ?? '', /they lie within bad regions/);
});

test('a disk whose second half is unreadable is imaged up to there', async (t) => {
  if (!needs(t, 'losetup')) return;
  const { file, content } = await randomFile(t, 32 * MEBIBYTE);
  const device = await loopDevice(t, 32 * MEBIBYTE, (own) => writeFile(own, content));
  await truncate(device.file, 16 * MEBIBYTE + 4096);
  execFileSync('blockdev', ['--flushbufs', device.path]);
  const made = await bundleOf(t, { devices: [device.path], sizes: { chunk: MEBIBYTE, hopeless: 2 } });
  assert.equal((await verifyBundle(made.store)).verdict, 'intact');
  const { file: restored, result } = await restoredDisk(t, made, device.name);
  assert.ok((await readFile(restored)).equals(Buffer.from(content).fill(0, 16 * MEBIBYTE + 4096)));
  assert.equal(result.data, 16 * MEBIBYTE + 4096);
  assert.ok(result.unreadable >= 512 && result.unreadable + result.untried === 16 * MEBIBYTE - 4096);
  assert.ok(file !== restored);
});

test('a disk that does not answer is given up, and what was read before stands', async (t) => {
  if (!needs(t, 'losetup')) return;
  const { file, content } = await randomFile(t, 24 * MEBIBYTE);
  const device = await failingDevice(t, file, { start: 16 * MEBIBYTE, end: 17 * MEBIBYTE, how: 'hang' });
  const other = await loopDevice(t, MEBIBYTE);
  const made = await bundleOf(t, { devices: [device.path, other.path], sizes: { hung: 1500 } });
  device.heal();
  const gaps = await gapsOf(made);
  assert.deepEqual(
    gaps.map(({ reason, detail }) => [reason, detail]),
    [
      ['timeout', 'reading it did not come back: the disk is stuck'],
      ['skipped', 'a disk before it did not answer'],
    ],
  );
  const { file: restored, result } = await restoredDisk(t, made, device.name);
  assert.ok(result.data >= 8 * MEBIBYTE);
  assert.ok((await readFile(restored)).equals(Buffer.from(content).fill(0, result.data)));
});

test('a capture that is stopped leaves a map of all that was stored', async (t) => {
  if (!needs(t, 'losetup')) return;
  const content = randomBytes(96 * MEBIBYTE);
  const device = await loopDevice(t, content.length, (own) => writeFile(own, content));
  const stop = new AbortController();
  const quarter = MEBIBYTE / 4;
  const whole = diskCollector({ devices: [device.path], sizes: { chunk: quarter, unit: quarter } });
  const stopping: Collector = {
    ...whole,
    async *collect(context) {
      for await (const item of whole.collect(context)) {
        yield item;
        if (item.kind === 'artefact' && item.path.endsWith('.img.zst')) setTimeout(() => stop.abort(), 50);
      }
    },
  };
  const made = await makeBundle(await temporaryFolder(t), [stopping], { signal: stop.signal });
  assert.equal((await verifyBundle(made.store)).verdict, 'intact');
  const { file: restored, result } = await restoredDisk(t, made, device.name);
  const kept = await readFile(restored);
  assert.equal(result.data + result.untried + result.missing, content.length);
  assert.ok(kept.subarray(0, result.data).equals(content.subarray(0, result.data)));
});

test('a device that is removed while it is read is a gap with what was left', async (t) => {
  if (!needs(t, 'losetup')) return;
  const { file } = await randomFile(t, 24 * MEBIBYTE);
  const device = await failingDevice(t, file, { start: 12 * MEBIBYTE, end: 24 * MEBIBYTE, how: 'eio' });
  // sysfs of the test's own, so that the device can go from it while the kernel keeps its loop
  const sys = join(await temporaryFolder(t), 'sys');
  await mkdir(join(sys, 'block'), { recursive: true });
  await mkdir(join(sys, 'dev/block'), { recursive: true });
  const folder = join(sys, 'block', device.name);
  await mkdir(join(folder, 'queue'), { recursive: true });
  for (const name of ['dev', 'size', 'diskseq', 'ro', 'queue/logical_block_size']) {
    await writeFile(join(folder, name), await readFile(`/sys/block/${device.name}/${name}`));
  }
  const number = (await readFile(join(folder, 'dev'), 'utf8')).trim();
  await symlink(folder, join(sys, 'dev/block', number));
  const collector = {
    ...disk,
    async *collect(context: Parameters<typeof disk.collect>[0]) {
      for await (const item of collectDisks(context, SIZES)) {
        yield item;
        if (item.kind === 'artefact' && item.path.endsWith('.img.zst')) await rm(folder, { recursive: true });
      }
    },
  };
  const { gaps } = await collect(collector, { host: hostAt('/', { sys }), devices: [device.path] });
  assert.equal(gaps[0]?.reason, 'vanished');
  assert.match(gaps[0]?.name ?? '', /^loop\d+: 12582912 of 25165824 bytes left$/);
});

test('what is no block device, has no medium or is not there is not imaged', async (t) => {
  if (!needs(t, 'losetup')) return;
  const { file } = await randomFile(t, 4096);
  const { artefacts, gaps } = await collect(disk, { devices: [file, '/dev/null', '/dev/no-such-disk'] });
  assert.equal(artefacts.size, 0);
  assert.deepEqual(
    gaps.map(({ reason }) => reason),
    ['skipped', 'skipped', 'absent'],
  );
});

test('the disk that holds the store is left out unless it is named, also through a loop device', async (t) => {
  if (!needs(t, 'losetup', 'mkfs.ext4')) return;
  const device = await loopDevice(t, 16 * MEBIBYTE, (own) => execFileSync('mkfs.ext4', ['-q', '-F', own]));
  execFileSync('mount', [device.path, device.mount]);
  const named = await collect(disk, { devices: [device.path], ownFolders: [device.mount] });
  assert.match(named.gaps[0]?.detail ?? '', /^it holds the store: the image changes/);
  assert.ok(named.artefacts.has(`80-disk/${device.name}/map.jsonl`));
  const { gaps, artefacts } = await collect(disk, { ownFolders: [device.mount], signal: AbortSignal.abort() });
  const under = execFileSync('findmnt', ['-n', '-o', 'SOURCE', '-T', device.file]).toString().trim();
  assert.ok(
    gaps.some(
      ({ name, reason, detail }) => name === under && reason === 'skipped' && /give --store/.test(detail ?? ''),
    ),
  );
  assert.ok(![...artefacts.keys()].some((path) => path.includes('loop')));
});

test('reading around bad blocks finds every good block next to a bad one, whatever the pattern', async () => {
  const blocks = 4096;
  const content = randomBytes(blocks * 512);
  for (const bad of [[0], [4095], [17, 18], range(100, 600), [...range(0, 40), ...range(4000, 4096)], range(0, 4096)]) {
    const set = new Set(bad);
    const read = async (buffer: Uint8Array, position: number): Promise<number> => {
      const first = position / 512;
      const failing = range(first, first + buffer.length / 512).find((block) => set.has(block));
      if (failing === first) throw Object.assign(new Error('i/o error'), { code: 'EIO' });
      const end = failing === undefined ? position + buffer.length : failing * 512;
      buffer.set(content.subarray(position, end));
      return end - position;
    };
    const source: Source = { bytes: content.length, blockBytes: 512, read, readSmall: read, present: () => true };
    const { bytes, bad: found } = await readAround(source, 0, content.length, Number.POSITIVE_INFINITY);
    const lost = found.flatMap(({ offset, length }) => range(offset / 512, (offset + length) / 512));
    assert.deepEqual(lost, bad);
    for (let block = 0; block < blocks; block++) {
      if (set.has(block)) continue;
      assert.ok(
        bytes.subarray(block * 512, block * 512 + 512).equals(content.subarray(block * 512, block * 512 + 512)),
      );
    }
  }
});

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, index) => start + index);
}
