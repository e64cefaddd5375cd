// A file system that never answers, mounted after the mount table was read: the walk of a stranger's namespace goes on.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { needs } from '../../helpers/component.ts';
import { stuckFileSystem } from '../../helpers/fuse.ts';
import { mountFolder } from '../../helpers/temporary.ts';

const TREE = join(import.meta.dirname, '../../../agent/host/tree.ts');

/** A file system that is put over the folder `late` while the walk stands there, and stops to answer. */
interface Meanwhile {
  readonly mountpoint: string;
  readonly server: number;
}

/** In a process of its own, since a walk that waits for such a file system cannot be stopped but by ending it. */
function walkLate(
  root: string,
  guarded: boolean,
  meanwhile?: Meanwhile,
): { readonly paths: string[]; readonly gaps: string[] } {
  const script = `
    import { execFileSync } from 'node:child_process';
    const meanwhile = ${JSON.stringify(meanwhile)};
    const { walkTree } = await import(${JSON.stringify(TREE)});
    const gaps = [], paths = [];
    const options = { label: '/', items: 100, mounts: { at: () => undefined }, gap: ({ name, detail }) => gaps.push(name + ': ' + detail) };
    if (${guarded}) options.mountinfo = '/proc/self/mountinfo';
    for (const item of walkTree(${JSON.stringify(root)}, '/', options)) {
      paths.push(item.path.toString());
      if (meanwhile === undefined || paths.at(-1) !== 'late') continue;
      execFileSync('mount', ['--bind', meanwhile.mountpoint, ${JSON.stringify(join(root, 'late'))}]);
      process.kill(meanwhile.server, 'SIGSTOP');
    }
    console.log(JSON.stringify({ paths, gaps }));`;
  const args = ['--input-type=module', '--eval', script];
  const text = execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 5000, killSignal: 'SIGKILL' });
  return JSON.parse(text);
}

test('what was mounted after the table was read is asked nothing', { timeout: 60_000 }, async (t) => {
  if (!needs(t, 'python3')) return;
  const root = await mountFolder(t);
  for (const folder of ['a', 'late', 'z', 'served']) await mkdir(join(root, folder));
  await writeFile(join(root, 'served/file'), 'x');
  const server = await stuckFileSystem(t, join(root, 'late'), join(root, 'served'));
  server.kill('SIGSTOP');
  t.after(() => server.kill('SIGCONT'));
  assert.throws(() => walkLate(root, false), /ETIMEDOUT/, 'this is what would stall a capture');
  const { paths, gaps } = walkLate(root, true);
  assert.deepEqual(paths.sort(), ['', 'a', 'served', 'served/file', 'z']);
  assert.deepEqual(gaps, ['/late: it is on a file system of type fuse, which may never answer']);
});

test('what is mounted over a folder after it was looked at is not entered, and costs nothing beside it', {
  timeout: 60_000,
}, async (t) => {
  if (!needs(t, 'python3')) return;
  const root = await mountFolder(t);
  const beside = ['a', 'b', 'c', 'd', 'e', 'f'];
  for (const folder of ['tree/late/below', 'mountpoint', 'served', ...beside.map((name) => `tree/${name}`)])
    await mkdir(join(root, folder), { recursive: true });
  await writeFile(join(root, 'served/file'), 'x');
  const mountpoint = join(root, 'mountpoint');
  const server = await stuckFileSystem(t, mountpoint, join(root, 'served'));
  t.after(() => server.kill('SIGCONT'));
  const { paths, gaps } = walkLate(join(root, 'tree'), true, { mountpoint, server: server.pid ?? 0 });
  assert.deepEqual(paths.sort(), ['', ...beside, 'late']);
  assert.deepEqual(gaps, ['/late: it is on a file system of type fuse, which may never answer']);
});
