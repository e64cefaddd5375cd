import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gap } from '../../capture/index.ts';
import { type Coverage, DirectoryStore, readChain, readWhole, records, verifyBundle } from '../../evidence/index.ts';
import type { ObjectWriter } from '../../evidence/store/store.ts';
import { artefact, collector, type MadeBundle, makeBundle, sampleCollectors } from '../helpers/bundle.ts';
import { needsRoot, smallDisk } from '../helpers/small-disk.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

async function coverageOf(made: MadeBundle): Promise<Coverage> {
  return JSON.parse((await readWhole(made.store, 'data/00-meta/coverage.json', 1e6)).toString()) as Coverage;
}

async function outcomes(made: MadeBundle): Promise<Record<string, string>> {
  const { collectors } = await coverageOf(made);
  return Object.fromEntries(collectors.map(({ collector: name, outcome }) => [name, outcome]));
}

test('one collector that throws, one that hangs and one whose content fails lose nothing of the rest', async (t) => {
  const made = await makeBundle(await temporaryFolder(t), [
    collector('throws', async function* () {
      yield artefact('10-process/before.txt', 'stored before');
      throw new Error('broken');
    }),
    collector(
      'hangs',
      async function* () {
        yield {
          kind: 'artefact',
          path: '10-process/hung.txt.zst',
          source: 'a pipe',
          content: neverEnding('first bytes'),
        };
      },
      { limits: { bytes: 1000, seconds: 0.3 } },
    ),
    collector(
      'stalls',
      async function* () {
        yield gap('absent', 'never said');
        await new Promise(() => undefined);
      },
      { limits: { bytes: 1000, seconds: 0.3 } },
    ),
    collector('content', async function* () {
      yield { kind: 'artefact', path: '10-process/half.txt', source: 'a disk', content: failing() };
      yield artefact('10-process/after.txt', 'goes on');
    }),
    ...sampleCollectors,
  ]);
  assert.equal((await verifyBundle(made.store)).verdict, 'intact');
  assert.deepEqual(await outcomes(made), {
    throws: 'partial',
    hangs: 'timeout',
    stalls: 'timeout',
    content: 'partial',
    table: 'partial',
    archive: 'complete',
    text: 'complete',
  });
  const stored = records((await readChain(made.store)).map(({ statement }) => statement));
  const truncated = Object.fromEntries(
    stored.filter((record) => record.truncated).map((record) => [record.path, record.truncated]),
  );
  assert.deepEqual(truncated, {
    'data/10-process/hung.txt.zst': 'its deadline passed',
    'data/10-process/half.txt': 'reading failed: EIO: i/o error',
  });
  assert.equal((await readWhole(made.store, 'data/10-process/half.txt', 100)).toString(), 'read so far');
});

/** Away for so long, for what has `away` in its path. */
class AwayStore extends DirectoryStore {
  override async create(path: string): Promise<ObjectWriter> {
    if (path.includes('away')) await sleep(6000);
    return super.create(path);
  }
}

test('while the store is away a collector loses none of its own time; what hangs beside it ends when it is back', async (t) => {
  const limits = { bytes: 1000, seconds: 4 };
  const made = await makeBundle(
    await temporaryFolder(t),
    [
      collector(
        'kept',
        async function* (context) {
          for (const n of [1, 2, 3, 4]) yield artefact(`10-process/away-${n}.txt`, 'stored late');
          yield artefact('10-process/after.txt', context.endsIn(0.5).aborted ? 'too late' : 'in time');
          await sleep(500);
        },
        { limits },
      ),
      collector(
        'hangs',
        async function* () {
          yield artefact('10-process/also-away.txt', 'stored late');
          await new Promise(() => undefined);
        },
        { limits },
      ),
    ],
    { open: (root, prefix) => new AwayStore({ root: join(root, prefix), partial: join(root, '.partial') }) },
  );
  assert.equal((await verifyBundle(made.store)).verdict, 'intact');
  assert.deepEqual(await outcomes(made), { kept: 'complete', hangs: 'timeout' });
  assert.equal((await readWhole(made.store, 'data/10-process/after.txt', 100)).toString(), 'in time');
  assert.equal((await readWhole(made.store, 'data/10-process/also-away.txt', 100)).toString(), 'stored late');
  const gaps = (await readWhole(made.store, 'data/00-meta/gaps.jsonl', 1e6)).toString();
  assert.match(gaps, /not done after 4 s beside \d+ s in which the store was waited for/);
});

async function* neverEnding(first: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(first);
  await new Promise(() => undefined);
}

async function* failing(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('read so far');
  throw new Error('EIO: i/o error');
}

test('gaps with the same cause are one group that says how many, and the chain keeps the first twenty names', async (t) => {
  const made = await makeBundle(await temporaryFolder(t), [
    collector('many', async function* () {
      yield artefact('10-process/a.txt', 'a');
      for (let pid = 0; pid < 5000; pid++) yield gap('vanished', `pid ${pid}`, 'ended while it was read');
      yield gap('denied', 'pid 1 environ', 'run as root');
    }),
  ]);
  const lines = (await readWhole(made.store, 'data/00-meta/gaps.jsonl', 1e6)).toString().trim().split('\n');
  const gaps = lines.map((line) => JSON.parse(line) as { reason: string; count: number; names: string[] });
  assert.deepEqual(
    gaps.map(({ reason, count, names }) => [reason, count, names.length]),
    [
      ['vanished', 5000, 1000],
      ['denied', 1, 1],
    ],
  );
  const statements = (await readChain(made.store)).map(({ statement }) => statement);
  const chain = JSON.stringify(statements);
  assert.ok(chain.includes('"pid 19"') && !chain.includes('"pid 20"'));
});

test('a limit in bytes cuts the artefact and says so', async (t) => {
  const made = await makeBundle(await temporaryFolder(t), [
    collector(
      'large',
      async function* () {
        yield artefact('10-process/a.txt', 'x'.repeat(600), 'y'.repeat(600));
      },
      { limits: { bytes: 1000, seconds: 5 } },
    ),
  ]);
  assert.equal((await readWhole(made.store, 'data/10-process/a.txt', 5000)).length, 1000);
  assert.deepEqual((await coverageOf(made)).collectors[0]?.gaps, { truncated: 1 });
});

test('the volatile core ends before bulk begins, in order of volatility, and what runs throughout sees each phase', async (t) => {
  const order: string[] = [];
  const step = (name: string, phase: 'volatile' | 'bulk', volatility: number) =>
    collector(
      name,
      async function* () {
        order.push(`${name} begins`);
        yield artefact(`10-process/${name}.txt`, name);
        order.push(`${name} ends`);
      },
      { phase, volatility },
    );
  const throughout = collector(
    'clock',
    async function* (context) {
      const phases: string[] = [];
      for await (const phase of context.phases) phases.push(phase);
      yield artefact('00-meta/clock.jsonl', JSON.stringify(phases));
    },
    { phase: 'throughout' },
  );
  const made = await makeBundle(await temporaryFolder(t), [
    step('bulk', 'bulk', 0),
    step('second', 'volatile', 2),
    step('first', 'volatile', 1),
    throughout,
  ]);
  assert.equal(order[0], 'first begins');
  assert.equal(order[1], 'second begins');
  assert.ok(order.indexOf('bulk begins') > order.indexOf('second ends'));
  assert.equal((await readWhole(made.store, 'data/00-meta/clock.jsonl', 1000)).toString(), '["volatile","bulk","end"]');
});

test('a capture that is stopped seals what it has, and says of each collector that it was stopped', async (t) => {
  const stop = new AbortController();
  const made = await makeBundle(
    await temporaryFolder(t),
    [
      collector('done', async function* () {
        yield artefact('10-process/done.txt', 'done');
      }),
      collector(
        'running',
        async function* () {
          setTimeout(() => stop.abort(), 50);
          yield {
            kind: 'artefact',
            path: '10-process/running.txt',
            source: 'a pipe',
            content: neverEnding('first bytes'),
          };
        },
        { volatility: 2 },
      ),
      collector(
        'waiting',
        async function* () {
          yield artefact('60-file/never.txt', 'never');
        },
        { phase: 'bulk' },
      ),
    ],
    { signal: stop.signal },
  );
  assert.equal((await verifyBundle(made.store)).verdict, 'intact');
  assert.deepEqual(await outcomes(made), { done: 'complete', running: 'aborted', waiting: 'aborted' });
});

test('a store that fills up ends the capture, and what was written until then verifies', {
  skip: needsRoot,
}, async (t) => {
  const disk = await smallDisk(t, 6);
  const large = collector(
    'large',
    async function* () {
      yield artefact('60-file/large.bin', ...Array.from({ length: 16 }, () => Buffer.alloc(1024 * 1024, 7)));
    },
    { volatility: 9 },
  );
  await assert.rejects(makeBundle(disk, [...sampleCollectors, large]), { code: 'store-full' });
});

test('names of artefacts that a bundle may not have end the capture with a clear code', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'store'));
  await writeFile(join(folder, 'outside'), 'x');
  const escaping = collector('escaping', async function* () {
    yield artefact('../../../../outside', 'overwritten');
  });
  await assert.rejects(makeBundle(join(folder, 'store'), [escaping]), { code: 'path-invalid' });
});

test('a collector that lets go does not keep the next phase waiting, and still ends within the capture', async (t) => {
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const made = await makeBundle(await temporaryFolder(t), [
    collector('search', async function* (context) {
      yield artefact('10-process/table.jsonl', '{}\n');
      context.release();
      await gate.promise;
      order.push('search');
      yield artefact('10-process/late.jsonl', '{}\n');
    }),
    collector(
      'bulk',
      async function* () {
        order.push('bulk');
        gate.resolve();
        yield artefact('60-file/a.txt', 'a');
      },
      { phase: 'bulk' },
    ),
  ]);
  assert.deepEqual(order, ['bulk', 'search']);
  assert.equal((await readWhole(made.store, 'data/10-process/late.jsonl', 100)).toString(), '{}\n');
});
