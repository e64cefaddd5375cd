import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DirectoryStore, readWhole } from '../../../evidence/index.ts';
import { needsRoot, smallDisk } from '../../helpers/small-disk.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

async function newStore(t: TestContext): Promise<{ folder: string; store: DirectoryStore }> {
  const folder = await temporaryFolder(t);
  const store = new DirectoryStore({ root: join(folder, 'bundle'), partial: join(folder, '.partial/bundle') });
  await store.prepare();
  return { folder, store };
}

test('an object is written once: a second put is refused and changes nothing', async (t) => {
  const { store } = await newStore(t);
  await store.put('data/00-meta/a.txt', Buffer.from('first'));
  await assert.rejects(store.put('data/00-meta/a.txt', Buffer.from('second')), { code: 'object-exists' });
  assert.equal((await readWhole(store, 'data/00-meta/a.txt', 100)).toString(), 'first');
});

test('an object appears at commit, with its size and digest, readable by its owner only', async (t) => {
  const { folder, store } = await newStore(t);
  const writer = await store.create('data/00-meta/a.txt');
  await writer.write(Buffer.from('evid'));
  assert.equal(await store.size('data/00-meta/a.txt'), undefined);
  await writer.write(Buffer.from('ence'));
  const stored = await writer.commit();
  assert.equal(stored.size, 8);
  const file = join(folder, 'bundle/data/00-meta/a.txt');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal((await stat(join(folder, 'bundle/data'))).mode & 0o777, 0o700);
  assert.equal(execFileSync('sha256sum', [file]).toString().slice(0, 64), stored.sha256);
});

test('what was given up leaves nothing, what a crash left is found again', async (t) => {
  const { store } = await newStore(t);
  const given = await store.create('data/00-meta/a.txt');
  await given.write(Buffer.from('x'));
  await given.abandon();
  const left = await store.create('data/10-process/b.tar.zst');
  await left.write(Buffer.from('half'));
  const found = [];
  for await (const object of store.unfinished()) found.push(object);
  assert.deepEqual(
    found.map(({ path }) => path),
    ['data/10-process/b.tar.zst'],
  );
  await found[0]?.publish();
  await found[0]?.release();
  assert.equal((await readWhole(store, 'data/10-process/b.tar.zst', 100)).toString(), 'half');
  await left.abandon();
});

test('captures that begin and end in one store at the same time do not take a folder from each other', async (t) => {
  const folder = await temporaryFolder(t);
  const rounds = async (name: string): Promise<void> => {
    for (let round = 0; round < 60; round++) {
      const id = `${name}${round}`;
      const store = new DirectoryStore({ root: join(folder, id), partial: join(folder, '.partial', id) });
      await store.prepare();
      await store.put('data/00-meta/a.txt', Buffer.from(id));
      await store.finish();
    }
  };
  await Promise.all(['a', 'b', 'c'].map(rounds));
  assert.equal((await readdir(folder)).length, 180);
});

test('a path that would leave the store, or a link on the way, is never followed', async (t) => {
  const { folder, store } = await newStore(t);
  await mkdir(join(folder, 'outside'));
  await writeFile(join(folder, 'outside/secret'), 'secret');
  await symlink('../outside', join(folder, 'bundle/data'));
  for (const path of ['../outside/secret', '/etc/passwd', 'a//b', 'a/./b', 'with space', 'new\nline']) {
    await assert.rejects(store.put(path, Buffer.from('x')), { code: 'path-invalid' });
    await assert.rejects(store.size(path), { code: 'path-invalid' });
  }
  assert.equal(await store.size('data/secret'), undefined);
  assert.equal(await readFile(join(folder, 'outside/secret'), 'utf8'), 'secret');
});

test('reading takes a range', async (t) => {
  const { store } = await newStore(t);
  await store.put('data/00-meta/a.txt', Buffer.from('0123456789'));
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.read('data/00-meta/a.txt', { start: 2, end: 5 })) chunks.push(chunk);
  assert.equal(Buffer.concat(chunks).toString(), '234');
});

test('a full disk says so, and the bytes set aside still take the last small objects', {
  skip: needsRoot,
}, async (t) => {
  const folder = await smallDisk(t, 4);
  const store = new DirectoryStore({ root: join(folder, 'bundle'), partial: join(folder, '.partial/bundle') });
  await store.prepare();
  const writer = await store.create('data/60-file/large.bin');
  await assert.rejects(
    async () => {
      for (let written = 0; written < 8; written++) await writer.write(Buffer.alloc(1024 * 1024, 1));
    },
    { code: 'store-full' },
  );
  const stored = await writer.commit();
  const file = join(folder, 'bundle/data/60-file/large.bin');
  assert.equal(execFileSync('sha256sum', [file]).toString().slice(0, 64), stored.sha256);
  await store.put('custody/000000.dsse.json', Buffer.from('the last entry fits'));
});

test('a file where the store should be is named as such', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'file'), 'x');
  const store = new DirectoryStore({ root: join(folder, 'file/bundle'), partial: join(folder, 'file/.partial') });
  await assert.rejects(store.prepare(), { code: 'store-not-directory' });
});

test('a folder that the kernel does not let anybody make is refused, and not waited for', async () => {
  const store = new DirectoryStore({ root: '/proc/nothing/bundle', partial: '/proc/nothing/.partial' });
  await assert.rejects(store.prepare(), { code: 'store-failed' });
});
