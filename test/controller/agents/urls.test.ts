// What was granted and not used when the bundle is sealed: nothing can come of it afterwards.
import assert from 'node:assert/strict';
import type { ArtefactRecord } from '../../../evidence/index.ts';
import { agentBed, type Bed, claimOf, type Grant } from './agent-bed.ts';

const scenario = await agentBed();

const BYTES = Buffer.from('what an agent says\n');
const PART = Buffer.alloc(5 * 1024 * 1024, 7);
const { size, sha256 } = claimOf('', PART);

scenario('a URL that was not used before the seal is of no use after it', async (bed) => {
  const agent = await bed.speak(await bed.order('late'));
  await agent.keep('data/00-meta/host.json', BYTES);
  const unused = claimOf('data/10-process/unused.json', BYTES);
  const silent = claimOf('data/10-process/silent.json', BYTES);
  const [first, second] = await agent.calls({ kind: 'grant-object', ...unused }, { kind: 'grant-object', ...silent });
  // stored, and never spoken of again
  assert.equal((await bed.put(second?.value, BYTES)).status, 200);
  await agent.end();
  const capture = await bed.sealed('late');
  const records = recordsOf(await bed.chain(capture));
  assert.equal(records.get(unused.path)?.size, 0);
  assert.match(records.get(unused.path)?.truncated ?? '', /never sent/);
  assert.equal(records.get(silent.path)?.sha256, silent.sha256);
  assert.equal(records.get(silent.path)?.recovered, true);
  for (const grant of [first?.value, second?.value] as Grant[])
    assert.ok((await bed.put(grant, BYTES)).status >= 400, 'nothing is stored after the seal');
  await bed.verify(capture);
});

scenario('uploads in parts that were left open are completed as far as they are, or are of no use', async (bed) => {
  const agent = await bed.speak(await bed.order('parts'));
  const begin = async (path: string): Promise<string> =>
    String((await agent.calls({ kind: 'begin-upload', path }))[0]?.value);
  const grant = async (path: string, upload: string, number: number): Promise<Grant> => {
    const [granted] = await agent.calls({ kind: 'grant-part', path, upload, number, size, sha256 });
    assert.ok(granted?.ok, granted?.message);
    return granted.value;
  };
  const [half, holes, empty, whole] = ['half', 'holes', 'empty', 'whole'].map((name) => `data/60-file/${name}.bin`);
  assert.ok(half && holes && empty && whole);
  const uploads = new Map<string, string>();
  for (const path of [half, holes, empty, whole]) uploads.set(path, await begin(path));
  const at = (path: string): string => uploads.get(path) ?? '';
  const send = async (path: string, number: number): Promise<void> => {
    assert.equal((await bed.put(await grant(path, at(path), number), PART)).status, 200);
  };
  await send(half, 1);
  await send(half, 2);
  await send(holes, 1);
  await send(holes, 3);
  await send(whole, 1);
  const later = await Promise.all([half, holes, empty, whole].map((path) => grant(path, at(path), 4)));
  const parts = [{ size, sha256 }];
  const [done] = await agent.calls({ kind: 'complete-upload', path: whole, upload: at(whole), parts });
  assert.ok(done?.ok, done?.message);
  assert.ok((await bed.put(later[3] as Grant, PART)).status >= 400, 'nothing is added to what is complete');
  const now = new Date().toISOString();
  const record = {
    path: whole,
    size,
    sha256,
    parts,
    collector: 'host',
    session: 1,
    source: '/',
    begun: now,
    ended: now,
  };
  assert.ok((await agent.calls({ kind: 'record', record }))[0]?.ok);
  await agent.end();
  const capture = await bed.sealed('parts');
  const records = recordsOf(await bed.chain(capture));
  assert.equal(records.get(half)?.size, 2 * size);
  assert.equal(records.get(holes)?.size, size);
  for (const path of [half, holes]) {
    assert.equal(records.get(path)?.recovered, true);
    assert.match(records.get(path)?.truncated ?? '', /ended while/);
  }
  assert.equal(records.get(empty), undefined);
  assert.equal(records.get(whole)?.truncated, undefined);
  // of one that is still open a part may be sent, and nothing comes of it: who completes it needs credentials
  for (const [index, url] of later.entries())
    assert.ok((await bed.put(url, PART)).status >= 400 || index === 2, String(index));
  assert.deepEqual(await namesIn(bed, capture), [half, holes, whole].sort());
  await bed.verify(capture);
});

scenario('no path is both an object and a folder: some stores would never take it, and no seal come', async (bed) => {
  const agent = await bed.speak(await bed.order('folder'));
  await agent.calls({ kind: 'grant-object', ...claimOf('data/10-process/x', BYTES) });
  for (const path of ['data/10-process/x/y', 'data/10-process/x/y/z'])
    for (const { code } of await agent.calls(
      { kind: 'grant-object', ...claimOf(path, BYTES) },
      { kind: 'begin-upload', path },
    ))
      assert.equal(code, 'grant-refused');
  await agent.keep('data/60-file/a/b', BYTES);
  const [below] = await agent.calls({ kind: 'grant-object', ...claimOf('data/60-file/a', BYTES) });
  assert.equal(below?.code, 'grant-refused');
  await agent.end();
  await bed.sealed('folder');
});

function recordsOf(entries: Awaited<ReturnType<Bed['chain']>>): ReadonlyMap<string, ArtefactRecord> {
  const all = entries.flatMap(({ statement: { predicate } }) =>
    predicate.action === 'collect' ? (predicate.details.artefacts as ArtefactRecord[]) : [],
  );
  const records = new Map(all.map((record) => [record.path, record]));
  assert.equal(records.size, all.length, 'each path is named once');
  return records;
}

async function namesIn(bed: Bed, capture: Awaited<ReturnType<Bed['sealed']>>): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { path } of (await bed.store(capture)).list('data/60-file')) names.push(path);
  return names.sort();
}
