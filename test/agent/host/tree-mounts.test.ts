import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MAX_MOUNTINFO } from '../../../agent/host/mountinfo.ts';
import { type Mounts, readMounts } from '../../../agent/host/mounts.ts';
import { walkTree } from '../../../agent/host/tree.ts';
import type { Gap } from '../../../evidence/index.ts';
import { stuckFileSystem } from '../../helpers/fuse.ts';
import { needsRoot } from '../../helpers/small-disk.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

function walk(root: string, mounts?: Mounts): { readonly paths: readonly string[]; readonly gaps: readonly Gap[] } {
  const gaps: Gap[] = [];
  const options = { label: 'tree', items: 1000, gap: (gap: Gap) => gaps.push(gap) };
  const items = [...walkTree(root, '/', mounts === undefined ? options : { ...options, mounts })];
  return { gaps, paths: items.map(({ path }) => path.toString('latin1')).sort() };
}

/** A folder whose mounts can be moved, which those of a shared one cannot; it goes with all that is mounted in it. */
async function privateFolder(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'impound-tree-'));
  t.after(async () => {
    spawnSync('umount', ['-l', root]);
    await rm(root, { recursive: true, force: true });
  });
  execFileSync('mount', ['-t', 'tmpfs', 'none', root]);
  execFileSync('mount', ['--make-private', root]);
  for (const name of ['first', 'second', 'files']) mkdirSync(join(root, name));
  return root;
}

test('a mount that was moved over a later one is seen: what blocks is not touched, what the kernel makes not entered', {
  skip: needsRoot,
  timeout: 20_000,
}, async (t) => {
  const fused = await privateFolder(t);
  const server = await stuckFileSystem(t, join(fused, 'first'), join(fused, 'files'));
  execFileSync('mount', ['-t', 'tmpfs', 'none', join(fused, 'second')]);
  execFileSync('mount', ['--move', join(fused, 'first'), join(fused, 'second')]);
  server.kill('SIGSTOP');
  const { paths, gaps } = walk(fused);
  assert.deepEqual(paths, ['', 'files', 'first']);
  assert.deepEqual(
    gaps.map(({ name, detail }) => [name, detail]),
    [['tree/second', 'a file system of type fuse, which may never answer']],
  );

  for (const types of [
    ['proc', 'tmpfs'],
    ['tmpfs', 'proc'],
  ] as const) {
    const root = await privateFolder(t);
    execFileSync('mount', ['-t', types[0], 'none', join(root, 'first')]);
    if (types[0] === 'tmpfs') writeFileSync(join(root, 'first/file'), '');
    execFileSync('mount', ['-t', types[1], 'none', join(root, 'second')]);
    execFileSync('mount', ['--move', join(root, 'first'), join(root, 'second')]);
    const below = types[0] === 'tmpfs' ? ['second/file'] : [];
    assert.deepEqual(walk(root).paths, ['', 'files', 'first', 'second', ...below]);
  }
});

test('a mount table longer than is read is refused', async (t) => {
  const table = join(await temporaryFolder(t), 'mountinfo');
  const line = `30 20 0:5 / /${'x'.repeat(1000)} rw - tmpfs none rw\n`;
  writeFileSync(table, line.repeat(Math.ceil(MAX_MOUNTINFO / line.length)));
  assert.throws(() => readMounts(table), { reason: 'skipped', message: /^more than 8388608 bytes of mountinfo/ });
});

test('a table of another namespace names paths below the root of the walk', async (t) => {
  const root = await temporaryFolder(t);
  mkdirSync(join(root, 'a/stuck'), { recursive: true });
  const blocking = { type: 'fuse', blocking: true, kernel: false };
  const { paths, gaps } = walk(root, { at: (path) => (path === '/a/stuck' ? blocking : undefined) });
  assert.deepEqual([paths, gaps.map(({ name }) => name)], [['', 'a'], ['tree/a/stuck']]);
  assert.deepEqual(walk(root, { at: (path) => (path === `${root}/a` ? blocking : undefined) }).gaps, []);
});

test('paths longer than the system’s own bound are counted, neither given nor entered', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'impound-tree-'));
  // Node removes by whole paths, which are too long here
  t.after(() => spawnSync('rm', ['-rf', root]));
  const name = 'n'.repeat(255);
  const make = `import os, sys
os.chdir(sys.argv[1])
for _ in range(16): os.mkdir(sys.argv[2]); os.chdir(sys.argv[2])
for one in ('l', 'm'): os.mkdir(one); open(one + '/below', 'w').close()`;
  execFileSync('python3', ['-c', make, root, name]);
  const { paths, gaps } = walk(root);
  // sixteen names and the "/" between them are 4095 bytes
  assert.deepEqual([paths.length, Math.max(...paths.map(({ length }) => length))], [17, 4095]);
  assert.deepEqual(
    gaps.map(({ reason, name, detail }) => [reason, name, detail]),
    [
      [
        'truncated',
        'tree: 2 names left',
        'paths of more than 4096 bytes; what is below the folders that were left is not counted',
      ],
    ],
  );
});
