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

/** In a process of its own, since a walk that waits for such a file system cannot be stopped but by ending it. */
function walkLate(root: string, guarded: boolean): { readonly paths: string[]; readonly gaps: string[] } {
  const script = `
    const { walkTree } = await import(${JSON.stringify(TREE)});
    const gaps = [], paths = [];
    const options = { label: '/', items: 100, mounts: { at: () => undefined }, gap: ({ name, detail }) => gaps.push(name + ': ' + detail) };
    if (${guarded}) options.mountinfo = '/proc/self/mountinfo';
    for (const item of walkTree(${JSON.stringify(root)}, '/', options)) paths.push(item.path.toString());
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
