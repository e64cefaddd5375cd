import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { zstdCompress, zstdDecompress } from '../../../evidence/index.ts';

const LIMIT = 64 * 1024 * 1024;

test('any number of frames, cut into chunks anywhere, comes back whole', async () => {
  const frames = fc.array(fc.uint8Array({ maxLength: 5000 }), { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(frames, fc.integer({ min: 1, max: 9000 }), async (parts, cut) => {
      const stored = Buffer.concat(parts.map((part) => zstdCompressSync(part)));
      const read = await gather(zstdDecompress(chunks(stored, cut), LIMIT, 'test'));
      assert.deepEqual(read, Buffer.concat(parts));
    }),
  );
});

test('what zstdCompress writes is one frame that the zstd program reads', async () => {
  const content = Buffer.from('evidence '.repeat(100_000));
  const compressed = zstdCompress(chunks(content, 65_536));
  const stored = await gather(compressed);
  assert.equal(compressed.contentSize, content.length);
  assert.deepEqual(execFileSync('zstd', ['-dc'], { input: stored, maxBuffer: 2 * content.length }), content);
});

test('a frame that was cut off gives what precedes the cut, then content-damaged', async () => {
  const stored = Buffer.concat([
    zstdCompressSync(Buffer.from('first')),
    zstdCompressSync(Buffer.from('second')).subarray(0, -3),
  ]);
  const read: Uint8Array[] = [];
  await assert.rejects(
    async () => {
      for await (const chunk of zstdDecompress(chunks(stored, 7), LIMIT, 'test')) read.push(chunk);
    },
    { code: 'content-damaged' },
  );
  assert.match(Buffer.concat(read).toString(), /^first/);
});

test('bytes behind the last frame, and no frame at all, are content-damaged', async () => {
  const frame = zstdCompressSync(Buffer.from('first'));
  for (const stored of [Buffer.concat([frame, Buffer.from('left over')]), Buffer.from('plain text'), Buffer.alloc(0)]) {
    await assert.rejects(gather(zstdDecompress(chunks(stored, 1000), LIMIT, 'test')), { code: 'content-damaged' });
  }
});

test('a frame that expands past the limit is read no further', async () => {
  const bomb = zstdCompressSync(Buffer.alloc(256 * 1024 * 1024));
  assert.ok(bomb.length < 100_000);
  let read = 0;
  await assert.rejects(
    async () => {
      for await (const chunk of zstdDecompress(chunks(bomb, 4096), 1024 * 1024, 'test')) read += chunk.length;
    },
    { code: 'content-too-large' },
  );
  assert.ok(read <= 1024 * 1024);
});

test('content that fails while it is read ends the frame first, then throws', async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('kept');
    throw new Error('gone');
  }
  const stored: Uint8Array[] = [];
  await assert.rejects(
    async () => {
      for await (const chunk of zstdCompress(failing())) stored.push(chunk);
    },
    { message: 'gone' },
  );
  const read = await gather(zstdDecompress(chunks(Buffer.concat(stored), 1000), LIMIT, 'test'));
  assert.equal(read.toString(), 'kept');
});

async function* chunks(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

async function gather(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const read: Uint8Array[] = [];
  for await (const chunk of stream) read.push(chunk);
  return Buffer.concat(read);
}
