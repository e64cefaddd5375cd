import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { readChain, readWhole, records, verifyBundle } from '../../evidence/index.ts';
import { collector, makeBundle } from '../helpers/bundle.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

test('an artefact that comes encoded is stored as it is, with the size that its content has', async (t) => {
  const frames = [zstdCompressSync('first '.repeat(1000)), zstdCompressSync('second '.repeat(1000))];
  const made = await makeBundle(await temporaryFolder(t), [
    collector('encoder', async function* () {
      yield {
        kind: 'artefact',
        path: '80-disk/sda/000000.img.zst',
        source: 'a test',
        content: (async function* () {
          yield* frames;
        })(),
        encoded: () => 13_000,
      };
    }),
  ]);
  assert.equal((await verifyBundle(made.store)).verdict, 'intact');
  const stored = await readWhole(made.store, 'data/80-disk/sda/000000.img.zst', 1e6);
  assert.ok(stored.equals(Buffer.concat(frames)));
  const [record] = records((await readChain(made.store)).map(({ statement }) => statement));
  assert.equal(record?.contentSize, 13_000);
  assert.equal(record?.size, stored.length);
});
