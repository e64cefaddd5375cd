// Captures whose requests fail: what is captured, by a seed that makes it again, and whether all of it was stored.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Collector } from '../../capture/index.ts';
import { parsePublicKey } from '../../evidence/custody/key.ts';
import { readChain, records, verifyBundle } from '../../evidence/index.ts';
import type { S3Store } from '../../evidence/store/s3/store.ts';
import { artefact, collector, newSigner } from './bundle.ts';

const MIB = 1024 ** 2;

/** Prints what makes the run again: IMPOUND_SEED. */
export const SEED = Number(process.env.IMPOUND_SEED ?? Math.floor(Math.random() * 2 ** 31));
export const random = mulberry32(SEED);

export const signer = newSigner();
const trusted = [parsePublicKey(signer.publicKeyPem, 'key')];
/** What was captured, by bundle path: a stream that repeats one block, so that 40 MiB cost nothing to make. */
export const contents = new Map<string, { readonly block: Buffer; readonly times: number }>();
export const noise = pseudoRandom(MIB);

export const small = smallCollectors();
export const large = [...small, largeCollector()];

/** It verifies, and holds what was given: all of it, unless it was `cut`. */
export async function assertWhole(store: S3Store, of: readonly Collector[], label: string, cut = false): Promise<void> {
  const report = await verifyBundle(store, { trusted });
  assert.deepEqual(report.findings, [], label);
  assert.equal(report.verdict, 'intact', label);
  assert.deepEqual(report.warnings, [], label);
  const statements = (await readChain(store)).map(({ statement }) => statement);
  const all = records(statements).filter(({ path }) => !path.startsWith('data/00-meta/'));
  assert.equal(new Set(all.map(({ path }) => path)).size, all.length, `${label}: an artefact is named twice`);
  const given = new Set(of.flatMap(({ artefacts }) => artefacts));
  for (const { path, size, sha256, truncated } of all) {
    assert.ok(given.delete(path), `${label}: ${path} was not given`);
    if (!cut) assert.equal(truncated, undefined, label);
    assert.equal(sha256, digestOf(path, truncated === undefined ? undefined : size), `${label}: ${path}`);
  }
  if (!cut) assert.deepEqual([...given], [], `${label}: not stored`);
  for await (const { path } of store.unfinished()) {
    assert.ok(
      all.some((record) => record.path === path && record.truncated === undefined),
      `${label}: an upload of ${path} is left with bytes that nobody has`,
    );
  }
  const ends = statements.filter(({ predicate }) => ['grant', 'close', 'seal'].includes(predicate.action));
  assert.equal(ends.length, 3, label);
}

/** Of the first `size` bytes of what was given as this artefact; of all of them without. */
function digestOf(path: string, size = Number.POSITIVE_INFINITY): string {
  const { block, times } = contents.get(path) ?? { block: noise, times: 0 };
  const digest = createHash('sha256');
  for (let turn = 0, left = size; turn < times; turn++, left -= block.length)
    digest.update(block.subarray(0, Math.max(0, left)));
  return digest.digest('hex');
}

function smallCollectors(): readonly Collector[] {
  return [0, 1, 2].map((number) => {
    const paths = Array.from({ length: 4 }, (_, index) => `10-process/${number}/${index}.bin`);
    for (const [index, path] of paths.entries())
      contents.set(`data/${path}`, {
        block: noise.subarray(number * 10_000 + index, number * 10_000 + index * 1000),
        times: 1,
      });
    return collector(
      `small${number}`,
      async function* () {
        for (const path of paths) {
          if (path.endsWith('/2.bin') && number === 0) await sleep(1100); // an entry in the middle
          yield artefact(path, contents.get(`data/${path}`)?.block ?? '');
        }
      },
      { artefacts: paths.map((path) => `data/${path}`) },
    );
  });
}

function largeCollector(): Collector {
  const path = '40-memory/large.bin';
  contents.set(`data/${path}`, { block: noise, times: 40 });
  return collector(
    'large',
    async function* () {
      yield artefact(path, ...Array.from({ length: 40 }, () => noise));
    },
    { artefacts: [`data/${path}`] },
  );
}

function pseudoRandom(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  const next = mulberry32(7);
  for (let at = 0; at < size; at += 4) bytes.writeUInt32LE(Math.floor(next() * 2 ** 32), at);
  return bytes;
}

/** A small generator of numbers from 0 to 1 that a seed makes again. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
