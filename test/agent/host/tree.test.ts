import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, renameSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { paced, type TreeItem, type TreeOptions, walkTree } from '../../../agent/host/tree.ts';
import { memberOf } from '../../../agent/host/tree-archive.ts';
import type { Gap, Member } from '../../../evidence/index.ts';
import { stuckFileSystem } from '../../helpers/fuse.ts';
import { needsRoot } from '../../helpers/small-disk.ts';
import { mountFolder, temporaryFolder } from '../../helpers/temporary.ts';

interface Walked {
  readonly items: readonly TreeItem[];
  readonly paths: readonly string[];
  readonly gaps: readonly Gap[];
}

function walk(root: string, options: Partial<TreeOptions> = {}, path = '/'): Walked {
  const gaps: Gap[] = [];
  const items = [
    ...walkTree(root, path, { label: 'tree', items: 1_000_000, gap: (gap) => gaps.push(gap), ...options }),
  ];
  return { items, gaps, paths: items.map((item) => item.path.toString('latin1')) };
}

function mount(...args: readonly string[]): void {
  execFileSync('mount', args);
}

test('names come as the bytes they are: line ends, escapes, what is no UTF-8', async (t) => {
  const root = await temporaryFolder(t);
  const names = ['line\nend', '\u001b]0;title\u0007', ' ', '-rf', '%0a', 'a\\b'].map((name) => Buffer.from(name));
  names.push(Buffer.from([0xff, 0xfe, 0x80]), Buffer.from('n'.repeat(255)));
  for (const name of names) writeFileSync(Buffer.concat([Buffer.from(`${root}/`), name]), name);
  const { items, gaps } = walk(root);
  assert.deepEqual(gaps, []);
  const found = items.slice(1).map(({ path }) => path.toString('hex'));
  assert.deepEqual(found.sort(), names.map((name) => name.toString('hex')).sort());
  for (const item of items.slice(1)) assert.equal(Number(item.stats.size), item.path.length);
});

test('what is no file is told by its kind and never opened', { timeout: 20_000 }, async (t) => {
  const root = await temporaryFolder(t);
  execFileSync('mkfifo', [join(root, 'fifo')]);
  const server = createServer().listen(join(root, 'socket'));
  t.after(() => server.close());
  symlinkSync('/nowhere', join(root, 'link'));
  const { items, gaps } = walk(root);
  assert.deepEqual(Object.fromEntries(items.map(({ path, kind }) => [path.toString(), kind])), {
    '': 'directory',
    fifo: 'fifo',
    socket: 'socket',
    link: 'symlink',
  });
  assert.deepEqual(gaps, []);
  const fifo = [...walkTree(root, '/', { label: 'tree', items: 10, gap() {} })].find(({ kind }) => kind === 'fifo');
  assert.throws(() => fifo?.open());
});

test('links are never followed: loops, links out of the tree, a root behind links', async (t) => {
  const root = await temporaryFolder(t);
  mkdirSync(join(root, 'real/deep'), { recursive: true });
  writeFileSync(join(root, 'real/deep/file'), '');
  symlinkSync('.', join(root, 'real/self'));
  symlinkSync('b', join(root, 'real/a'));
  symlinkSync('a', join(root, 'real/b'));
  symlinkSync('/', join(root, 'real/out'));
  symlinkSync('/real', join(root, 'alias'));
  assert.deepEqual([...walk(root, {}, '/alias/self').paths].sort(), ['', 'a', 'b', 'deep', 'deep/file', 'out', 'self']);
  assert.deepEqual(
    walk(root, {}, '/real/a').gaps.map(({ reason }) => reason),
    ['skipped'],
  );
  assert.deepEqual(walk(root, {}, '/real/missing').gaps, [{ kind: 'gap', reason: 'absent', name: 'tree' }]);
});

test('a hundred thousand files in one folder, with a bound whose rest is counted', { timeout: 60_000 }, async (t) => {
  const root = await temporaryFolder(t);
  execFileSync('python3', [
    '-c',
    'import sys\nfor n in range(100000): open(sys.argv[1] + "/" + str(n), "w").close()',
    root,
  ]);
  assert.equal(walk(root).items.length, 100_001);
  const { items, gaps } = walk(root, { items: 1000 });
  assert.equal(items.length, 1000);
  assert.equal(gaps[0]?.reason, 'truncated');
  assert.equal(gaps[0]?.name, 'tree: 99001 names left');
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  for await (const _ of paced(walkTree(root, '/', { label: 'tree', items: 1e6, gap() {} }))) {
    // as somebody who does nothing else
  }
  clearInterval(timer);
  assert.ok(turns > 2, `${turns} turns of the event loop`);
});

test('depth has a bound, and folders can be left out or not entered', async (t) => {
  const root = await temporaryFolder(t);
  mkdirSync(join(root, 'd/'.repeat(300)), { recursive: true });
  const { items, gaps } = walk(root, { depth: 200 });
  assert.equal(items.length, 201);
  assert.equal(gaps[0]?.detail, 'more than 200 folders deep');
  const left = walk(root, { leaveOut: [join(root, 'd/d')] });
  assert.deepEqual(left.paths, ['', 'd', 'd/d']);
  assert.equal(left.gaps[0]?.detail, "the capture's own folder");
  const refused = walk(root, { enter: ({ path }) => path.length < 4 });
  assert.deepEqual([refused.paths, refused.gaps], [['', 'd', 'd/d', 'd/d/d'], []]);
});

test('a folder that is replaced while it is looked at is not entered', async (t) => {
  const root = await temporaryFolder(t);
  mkdirSync(join(root, 'folder'));
  writeFileSync(join(root, 'folder/inside'), '');
  for (const replace of [(path: string) => symlinkSync('/etc', path), (path: string) => mkdirSync(path)]) {
    const gaps: Gap[] = [];
    const paths: string[] = [];
    for (const item of walkTree(root, '/', { label: 'tree', items: 100, gap: (gap) => gaps.push(gap) })) {
      paths.push(item.path.toString());
      if (paths.at(-1) !== 'folder') continue;
      renameSync(join(root, 'folder'), join(root, '..', `${root.split('/').at(-1)}-moved`));
      replace(join(root, 'folder'));
    }
    const moved = `${root}-moved`;
    await rm(join(root, 'folder'), { recursive: true });
    renameSync(moved, join(root, 'folder'));
    assert.deepEqual(paths, ['', 'folder']);
    assert.equal(gaps.length, 1);
    assert.equal(gaps[0]?.reason, 'vanished');
  }
});

test('a file that is replaced is not opened in the place of the other', async (t) => {
  const root = await temporaryFolder(t);
  writeFileSync(join(root, 'file'), 'first');
  for (const item of walkTree(root, '/', { label: 'tree', items: 100, gap() {} })) {
    if (item.kind !== 'file') continue;
    writeFileSync(join(root, 'other'), 'second');
    renameSync(join(root, 'other'), join(root, 'file'));
    assert.throws(() => closeSync(item.open().fd), /replaced/);
  }
});

test('a tree that is mounted into itself is entered once, kernel and blocking file systems never', {
  skip: needsRoot,
}, async (t) => {
  const root = await mountFolder(t);
  for (const name of ['a/loop', 'a/b', 'proc', 'tmpfs']) mkdirSync(join(root, name), { recursive: true });
  mount('--bind', join(root, 'a'), join(root, 'a/loop'));
  mount('-t', 'proc', 'proc', join(root, 'proc'));
  mount('-t', 'tmpfs', 'tmpfs', join(root, 'tmpfs'));
  writeFileSync(join(root, 'tmpfs/file'), '');
  const { paths, gaps } = walk(root);
  assert.deepEqual([...paths].sort(), ['', 'a', 'a/b', 'a/loop', 'proc', 'tmpfs', 'tmpfs/file']);
  assert.deepEqual(gaps.map(({ name }) => name).sort(), ['tree/a/loop', 'tree/proc']);
  const one = walk(root, { oneFileSystem: true });
  assert.ok(!one.paths.includes('tmpfs/file'));
});

test('an overlay on an overlay is walked like any folder', { skip: needsRoot }, async (t) => {
  const root = await mountFolder(t);
  mount('-t', 'tmpfs', 'tmpfs', root);
  for (const name of ['lower', 'upper', 'work', 'merged', 'upper2', 'work2', 'top']) mkdirSync(join(root, name));
  writeFileSync(join(root, 'lower/file'), 'x');
  const overlay = (lower: string, number: string, point: string): void =>
    mount(
      '-t',
      'overlay',
      'overlay',
      '-o',
      `lowerdir=${root}/${lower},upperdir=${root}/upper${number},workdir=${root}/work${number}`,
      join(root, point),
    );
  overlay('lower', '', 'merged');
  overlay('merged', '2', 'top');
  writeFileSync(join(root, 'top/added'), '');
  const { items, gaps } = walk(join(root, 'top'));
  assert.deepEqual(gaps, []);
  assert.deepEqual(
    items
      .slice(1)
      .map(({ path }) => path.toString())
      .sort(),
    ['added', 'file'],
  );
  assert.ok(walk(root).paths.includes('upper2/added'));
});

test('a sparse file of a tebibyte is cut at the bound, and a socket is a gap', async (t) => {
  const root = await temporaryFolder(t);
  writeFileSync(join(root, 'sparse'), 'x'.repeat(4096));
  truncateSync(join(root, 'sparse'), 2 ** 40);
  const gaps: Gap[] = [];
  const budget = { left: 10_000 };
  const members: Member[] = [];
  for (const item of walkTree(root, '/', { label: 'tree', items: 100, gap() {} })) {
    const member = memberOf(item, { prefix: '', label: 'tree', gap: (gap) => gaps.push(gap), fileBytes: 4096, budget });
    if (member !== undefined) members.push(member);
  }
  const [member] = members;
  assert.ok(member?.content !== undefined && !(member.content instanceof Uint8Array));
  let size = 0;
  for await (const chunk of member.content.bytes) size += chunk.length;
  assert.deepEqual([size, member.content.size, budget.left], [4096, 4096, 5904]);
  assert.equal(gaps[0]?.name, 'tree/sparse: 1099511623680 of 1099511627776 bytes left, 4096 of them on disk');
});

test('a file that is one hole takes nothing from the others', async (t) => {
  const root = await temporaryFolder(t);
  closeSync(openSync(join(root, 'hole'), 'w'));
  truncateSync(join(root, 'hole'), 2 ** 40);
  const budget = { left: 10_000 };
  let truncated: string | undefined;
  for (const item of walkTree(root, '/', { label: 'tree', items: 100, gap() {} })) {
    if (item.kind !== 'file') continue;
    truncated = memberOf(item, { prefix: '', label: 'tree', gap() {}, fileBytes: 2 ** 50, budget })?.truncated;
  }
  assert.equal(truncated, `${2 ** 40} bytes of zeros left: none of it is on the disk`);
  assert.equal(budget.left, 10_000);
});

test('a FUSE file system on the way, or in the tree, is not asked for anything', {
  skip: needsRoot,
  timeout: 20_000,
}, async (t) => {
  const root = await mountFolder(t);
  for (const name of ['files', 'tree/mnt']) mkdirSync(join(root, name), { recursive: true });
  const child = await stuckFileSystem(t, join(root, 'tree/mnt'), join(root, 'files'));
  child.kill('SIGSTOP');
  const inside = walk(join(root, 'tree'));
  assert.deepEqual([inside.paths, inside.gaps.map(({ reason }) => reason)], [[''], ['skipped']]);
  const onTheWay = walk(root, {}, '/tree/mnt/deep');
  assert.deepEqual([onTheWay.paths, onTheWay.gaps.map(({ reason }) => reason)], [[], ['skipped']]);
});
