import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readMap } from '../../../cli/bundles/disk-map.ts';
import type { MadeBundle } from '../../helpers/bundle.ts';
import { needs } from '../../helpers/component.ts';
import { bundleOf, restoredDisk } from '../../helpers/disk-bundle.ts';
import { loopDevice } from '../../helpers/loop-device.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

const MEBIBYTE = 1024 ** 2;

interface Imaged {
  readonly made: MadeBundle;
  readonly name: string;
  readonly content: Buffer;
}

/** 24 MiB in three segments, the second of zeros and one frame. */
async function imaged(t: TestContext): Promise<Imaged> {
  const content = randomBytes(24 * MEBIBYTE).fill(0, 8 * MEBIBYTE, 15 * MEBIBYTE);
  const device = await loopDevice(t, content.length, (file) => writeFile(file, content));
  const sizes = { segment: 8 * MEBIBYTE, chunk: MEBIBYTE };
  return { made: await bundleOf(t, { devices: [device.path], sizes }), name: device.name, content };
}

async function alter(made: MadeBundle, path: string, change: (bytes: Buffer) => Buffer): Promise<void> {
  const file = join(made.path, 'data/80-disk', path);
  await chmod(file, 0o600);
  await writeFile(file, change(await readFile(file)));
}

test('a range is restored from the frames it needs alone', async (t) => {
  if (!needs(t, 'losetup')) return;
  const { made, name, content } = await imaged(t);
  // what it does not need may be damaged: nobody looks
  await alter(made, `${name}/000000.img.zst`, (bytes) => bytes.fill(0, 0, 100));
  const [offset, length] = [7 * MEBIBYTE + 1000, 9 * MEBIBYTE];
  const { file, result } = await restoredDisk(t, made, name, { offset, length });
  assert.ok((await readFile(file)).equals(content.subarray(offset, offset + length)));
  assert.equal(result.data + result.zero, length);
  assert.equal(result.zero, 7 * MEBIBYTE);
  const end = await restoredDisk(t, made, name, { offset: content.length - 5 });
  assert.ok((await readFile(end.file)).equals(content.subarray(-5)));
});

test('what was altered is not restored, and leaves no file that looks like an image', async (t) => {
  if (!needs(t, 'losetup')) return;
  const out = join(await temporaryFolder(t), 'out.img');
  const flip = (bytes: Buffer): Buffer => {
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes;
  };
  const changes: readonly [string, (bytes: Buffer) => Buffer][] = [
    ['000000.img.zst', flip],
    ['000002.img.zst', (bytes) => Buffer.concat([bytes, Buffer.from('x')])],
    ['000001.img.zst', (bytes) => bytes.subarray(0, bytes.length - 40)],
    ['map.jsonl', (bytes) => Buffer.from(bytes.toString().replace('"zero"', '"data"'))],
  ];
  for (const [path, change] of changes) {
    const { made, name } = await imaged(t);
    await alter(made, `${name}/${path}`, change);
    await assert.rejects(restoredDisk(t, made, name, { out }), { code: 'content-damaged' }, path);
    assert.deepEqual(await readdir(dirname(out)), []);
  }
});

test('a file that is there is not overwritten, and ranges and disks that are not there are refused', async (t) => {
  if (!needs(t, 'losetup')) return;
  const { made, name } = await imaged(t);
  const out = join(await temporaryFolder(t), 'out.img');
  for (const range of [{ offset: -1 }, { offset: 0.5 }, { length: 25 * MEBIBYTE }, { offset: 25 * MEBIBYTE }]) {
    await assert.rejects(restoredDisk(t, made, name, { out, ...range }), { code: 'usage' });
  }
  await assert.rejects(restoredDisk(t, made, '../../etc', { out }), { code: 'object-missing' });
  await assert.rejects(restoredDisk(t, made, name, { out, session: 7 }), { code: 'object-missing' });
  await assert.rejects(restoredDisk(t, made, name, { out, restore: 'format' }), { code: 'usage' });
  await writeFile(out, 'mine');
  await assert.rejects(restoredDisk(t, made, name, { out }), { code: 'usage', message: /nothing is overwritten/ });
  assert.equal(await readFile(out, 'utf8'), 'mine');
});

test('a map of a hostile bundle is refused where its ranges leave the disk, overlap or are no numbers', async () => {
  const device = { kind: 'device', bytes: 1000 };
  const data = { kind: 'data', offset: 0, length: 100, segment: 0, frame: { offset: 0, length: 10 } };
  const hostile: readonly (readonly unknown[])[] = [
    [],
    [data],
    [device, device],
    [{ kind: 'device', bytes: 2 ** 60 }],
    [device, { kind: 'zero', offset: 0, length: 1001 }],
    [device, { kind: 'zero', offset: -1, length: 10 }],
    [device, { kind: 'zero', offset: '0', length: 10 }],
    [device, data, { ...data, frame: { offset: 10, length: 10 } }],
    [device, data, { ...data, offset: 100 }],
    [device, { ...data, segment: 1 }, { ...data, offset: 100 }],
    [device, { ...data, frame: { offset: 0, length: 2 ** 40 } }],
    [device, { ...data, frame: null }],
    [device, { kind: 'other' }],
  ];
  const read = async (text: string): Promise<number> => {
    const bytes = (async function* () {
      yield Buffer.from(text);
    })();
    let rows = 0;
    for await (const _ of readMap(bytes, 'map.jsonl')) rows++;
    return rows;
  };
  const lines = (rows: readonly unknown[]): string =>
    rows.map((impound) => `${JSON.stringify({ impound })}\n`).join('');
  for (const rows of hostile) await assert.rejects(read(lines(rows)), { code: 'content-damaged' }, lines(rows));
  await assert.rejects(read('x'.repeat(100_000)), { code: 'content-damaged' });
  await assert.rejects(read(`${lines([device])}null\n`), { code: 'content-damaged' });
  assert.equal(await read(`${lines([device, data])}{"impound":{"kind":"ze`), 2, 'a last line that was cut off');
});
