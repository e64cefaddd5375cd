import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChainWriter } from '../../../evidence/custody/chain-writer.ts';
import { parseStatement } from '../../../evidence/format/entry.ts';
import { parseEnvelope } from '../../../evidence/format/envelope.ts';
import { sessionPath } from '../../../evidence/format/layout.ts';
import { ImpoundError, isBundlePath, readChain, verifyBundle } from '../../../evidence/index.ts';
import { makeBundle } from '../../helpers/bundle.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

test('two writers on one chain never fork it: each re-links to what the other wrote', async (t) => {
  const made = await makeBundle(await temporaryFolder(t));
  const entries = await readChain(made.store);
  const options = { ...made.custody, bundle: entries[0]?.statement.predicate.bundle ?? '', entries };
  const writers = [new ChainWriter(options), new ChainWriter(options)];
  await Promise.all(
    writers.flatMap((writer, index) => [1, 2, 3, 4].map((number) => writer.append('note', { by: index, number }))),
  );
  const chain = await readChain(made.store);
  assert.equal(chain.length, entries.length + 8);
  assert.equal((await verifyBundle(made.store)).verdict, 'intact');
});

test('an entry written by a try whose answer was lost is not written twice', async (t) => {
  const made = await makeBundle(await temporaryFolder(t));
  const entries = await readChain(made.store);
  const store = made.store;
  const put = store.put.bind(store);
  let lost = false;
  store.put = async (path, bytes) => {
    const stored = await put(path, bytes);
    if (lost) return stored;
    lost = true;
    throw new ImpoundError('object-exists', 'the second try of a put that had succeeded', { operation: 'put' });
  };
  const chain = new ChainWriter({ ...made.custody, bundle: entries[0]?.statement.predicate.bundle ?? '', entries });
  await chain.append('note', { text: 'once' });
  assert.equal((await readChain(store)).length, entries.length + 1);
});

test('a clock that is set back never makes an entry older than the one before', async (t) => {
  const made = await makeBundle(await temporaryFolder(t));
  const entries = await readChain(made.store);
  const clock = { now: () => new Date('2001-01-01T00:00:00Z') };
  const chain = new ChainWriter({
    ...made.custody,
    clock,
    bundle: entries[0]?.statement.predicate.bundle ?? '',
    entries,
  });
  await chain.append('note', {});
  const times = (await readChain(made.store)).map(({ statement }) => statement.predicate.time);
  assert.deepEqual(times, times.toSorted());
});

test('whatever bytes an entry has, reading it throws nothing but ImpoundError', () => {
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(anything, (bytes) => {
      for (const read of [parseEnvelope, parseStatement]) {
        try {
          read(bytes, 'an entry');
        } catch (error) {
          assert.ok(error instanceof ImpoundError);
        }
      }
    }),
  );
});

test('bundle paths are relative, plain, and without dots for segments', () => {
  for (const path of ['data/a', 'a', 'A-Z_0.9/x']) assert.ok(isBundlePath(path), path);
  for (const path of ['', '/a', 'a/', 'a//b', '.', '..', 'a/../b', 'a b', 'ä', 'a\n', 'a%0A', `${'x'.repeat(201)}`]) {
    assert.ok(!isBundlePath(path), JSON.stringify(path));
  }
});

test("a later session's artefact has its number before the first dot", () => {
  assert.equal(sessionPath('data/10-process/proc.tar.zst', 1), 'data/10-process/proc.tar.zst');
  assert.equal(sessionPath('data/10-process/proc.tar.zst', 2), 'data/10-process/proc.2.tar.zst');
  assert.equal(sessionPath('data/1.0/proc', 3), 'data/1.0/proc.3');
});
