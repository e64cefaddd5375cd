// A controller that ends between any two steps of taking bytes leaves what the next one goes on with: nothing that was
// answered is lost, nothing appears that is not whole, and what is cut off is told from what is not.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { StoredPart } from '../../../evidence/format/record.ts';
import { readChain, records, recoverBundle, verifyBundle } from '../../../evidence/index.ts';
import { DirectoryStore } from '../../../evidence/store/directory.ts';
import { readWhole } from '../../../evidence/store/store.ts';
import type { PartClaim } from '../../../evidence/store/upload/grants.ts';
import type { Uploads } from '../../../evidence/store/uploads.ts';
import { beginEmpty, openStore } from '../../helpers/bundle.ts';
import { crashingAt } from '../../helpers/crash-points.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

const RECEIVER = { url: 'https://controller/bytes', secret: randomBytes(32) };
const [SMALL, LARGE] = ['data/00-meta/small.bin', 'data/40-memory/large.bin'];
const SMALL_BYTES = randomBytes(1000);
const PARTS = [70_000, 70_000, 500].map((size) => randomBytes(size));
const WHOLE = Buffer.concat(PARTS);
const CLAIMS: readonly StoredPart[] = PARTS.map(claimOf);

/** What a sender was told before the end. */
interface Heard {
  small: boolean;
  upload: string | undefined;
  parts: number;
  complete: boolean;
}

function claimOf(bytes: Uint8Array): StoredPart {
  return { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

function open(folder: string): DirectoryStore {
  return new DirectoryStore({ root: join(folder, 'one'), partial: join(folder, '.partial/one') });
}

async function put({ receive }: Uploads, url: string, bytes: Buffer): Promise<number | undefined> {
  async function* halves(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, bytes.length / 2);
    yield bytes.subarray(bytes.length / 2);
  }
  const received = await receive?.(new URL(url).searchParams.get('grant') ?? '', halves(), bytes.length);
  return received?.status;
}

/** Sends what is not known to be there; throws where an answer is none of success. */
async function send(uploads: Uploads, heard: Heard): Promise<void> {
  const { grants } = uploads;
  const claim = { path: SMALL, ...claimOf(SMALL_BYTES) };
  if ((await grants.finished(claim)) === undefined) {
    assert.equal(await put(uploads, (await grants.grantObject(claim)).url, SMALL_BYTES), 200);
    assert.deepEqual(await grants.finished(claim), {});
  }
  heard.small = true;
  if ((await grants.finishedUpload(LARGE, CLAIMS)) === undefined) {
    heard.upload ??= await grants.beginUpload(LARGE);
    for (const [index, bytes] of PARTS.entries()) {
      const part: PartClaim = { path: LARGE, upload: heard.upload, number: index + 1, ...claimOf(bytes) };
      if (await grants.finishedPart(part)) continue;
      assert.equal(await put(uploads, (await grants.grantPart(part)).url, bytes), 200);
      heard.parts = Math.max(heard.parts, index + 1);
    }
    await grants.completeUpload(LARGE, heard.upload, CLAIMS);
  }
  heard.complete = true;
}

async function begun(folder: string, steps: number): Promise<{ readonly ended: boolean; readonly heard: Heard }> {
  const heard: Heard = { small: false, upload: undefined, parts: 0, complete: false };
  const ended = await crashingAt(steps, () =>
    send(open(folder).uploads({ receiver: RECEIVER }), heard).catch(() => undefined),
  );
  return { ended, heard };
}

/** Whatever stands under its path is whole. */
async function assertTrue(store: DirectoryStore, heard: Heard, label: string): Promise<void> {
  for await (const { path } of store.list()) {
    assert.ok([SMALL, LARGE].includes(path), label);
    assert.deepEqual(await readWhole(store, path, 200_000), path === SMALL ? SMALL_BYTES : WHOLE, label);
  }
  if (heard.small) assert.equal(await store.size(SMALL), SMALL_BYTES.length, label);
  if (heard.complete) assert.equal(await store.size(LARGE), WHOLE.length, label);
}

test('after an end at any step a sender goes on where it was, and nothing is left over', async (t) => {
  const folder = await temporaryFolder(t);
  let steps = 0;
  for (let ended = false; !ended; steps++) {
    const [here, label] = [join(folder, String(steps)), `after ${steps} steps`];
    const first = await begun(here, steps);
    ended = first.ended;
    const store = open(here);
    await assertTrue(store, first.heard, label);
    await send(store.uploads({ receiver: RECEIVER }), first.heard);
    await assertTrue(store, first.heard, label);
    assert.deepEqual(await Array.fromAsync(store.unfinished()), [], label);
    await store.finish();
    assert.deepEqual(await readdir(here), ['one'], label);
  }
  t.diagnostic(`${steps} steps`);
  assert.ok(steps > 60);
});

/** As `seal` does; the chain is here a list of what it named: cut off, or whole. */
async function recover(store: DirectoryStore, chain: Map<string, 'cut' | 'whole'>): Promise<void> {
  const half = (await Array.fromAsync(store.unfinished())).filter(({ path }) => !chain.has(path));
  for (const { path, publish } of half) {
    if ((await store.size(path)) !== undefined) continue;
    const { parts } = await publish();
    if (path === LARGE && parts !== undefined) assert.deepEqual(parts, CLAIMS.slice(0, parts.length));
  }
  for await (const { path } of store.list())
    if (!chain.has(path)) chain.set(path, half.some((one) => one.path === path) ? 'cut' : 'whole');
  for (const { release } of half) await release();
}

test('what is sealed after an end at any step is a true beginning of what was sent, and called cut where it is', async (t) => {
  const folder = await temporaryFolder(t);
  const [ends, endings] = [new Set<string>(), { cut: 0, whole: 0 }];
  for (let [steps, ended] = [0, false]; !ended; steps++) {
    // the recovery ends too, each time at another step of its own
    for (const [again, crashes] of [Number.POSITIVE_INFINITY, 1 + (steps % 20)].entries()) {
      const [here, label] = [join(folder, `${steps}-${again}`), `after ${steps} steps and ${crashes}`];
      const { ended: through, heard } = await begun(here, steps);
      ended ||= through;
      const chain = new Map<string, 'cut' | 'whole'>();
      if (crashes !== Number.POSITIVE_INFINITY)
        await crashingAt(crashes, () => recover(open(here), chain).catch(() => undefined));
      const store = open(here);
      await recover(store, chain);
      for (const [path, sent] of [
        [SMALL, SMALL_BYTES],
        [LARGE, WHOLE],
      ] as const) {
        if (!chain.has(path)) continue;
        const bytes = await readWhole(store, path, 200_000);
        assert.ok(sent.subarray(0, bytes.length).equals(bytes), label);
        if (chain.get(path) === 'whole') assert.ok(sent.equals(bytes), `${label}: ${path} is cut off unsaid`);
        endings[chain.get(path) ?? 'cut']++;
        ends.add(`${path} ${bytes.length}`);
      }
      if (heard.small) assert.equal(chain.get(SMALL), 'whole', label);
      if (heard.complete) assert.equal(chain.get(LARGE), 'whole', label);
      // a part that was answered is not lost
      const least = PARTS.slice(0, heard.parts).reduce((sum, { length }) => sum + length, 0);
      assert.ok(((await store.size(LARGE)) ?? 0) >= least, label);
      assert.deepEqual(await Array.fromAsync(store.unfinished()), [], label);
      await store.finish();
      assert.deepEqual(
        (await readdir(here).catch(() => ['one'])).filter((name) => name !== 'one'),
        [],
        label,
      );
    }
  }
  t.diagnostic(`${JSON.stringify(endings)}, ${[...ends].join(', ')}`);
  for (const size of [70_000, 140_000, 140_500]) assert.ok(ends.has(`${LARGE} ${size}`), String(size));
});

test('a bundle whose uploads were cut off is sealed with the parts before the first gap', async (t) => {
  const root = await temporaryFolder(t);
  const { store, custody, path } = await beginEmpty(root);
  const uploads = store.uploads({ receiver: RECEIVER });
  const { grants } = uploads;
  const upload = await grants.beginUpload(LARGE);
  for (const [number, bytes] of [
    [1, PARTS[0]],
    [2, PARTS[1]],
    [4, PARTS[2]],
  ] as const) {
    assert.ok(bytes);
    const { url } = await grants.grantPart({ path: LARGE, upload, number, ...claimOf(bytes) });
    assert.equal(await put(uploads, url, bytes), 200);
  }
  const { url } = await grants.grantObject({ path: SMALL, ...claimOf(SMALL_BYTES) });
  assert.equal(await put(uploads, url, SMALL_BYTES), 200);
  await recoverBundle({ ...custody, store: openStore(root, path.slice(root.length + 1)) }, true);
  const report = await verifyBundle(store);
  assert.deepEqual([report.verdict, report.findings], ['intact', []]);
  const found = records((await readChain(store)).map(({ statement }) => statement));
  const large = found.find(({ path }) => path === LARGE);
  assert.deepEqual([large?.truncated !== undefined, large?.parts], [true, CLAIMS.slice(0, 2)]);
  const small = found.find(({ path }) => path === SMALL);
  assert.deepEqual([small?.truncated, small?.recovered], [undefined, true]);
  assert.deepEqual(await Array.fromAsync(store.unfinished()), []);
});
