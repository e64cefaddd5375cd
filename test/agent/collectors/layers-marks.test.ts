import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { layers } from '../../../agent/collectors/layers.ts';
import type { KnownContainer } from '../../../agent/containers.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { needsRoot, smallDisk } from '../../helpers/small-disk.ts';

const MEBIBYTE = 1024 ** 2;

interface Row {
  readonly file: Readonly<Record<string, unknown>> & { readonly path: string };
  readonly impound: Readonly<Record<string, unknown>>;
}

async function layersOf(root: string) {
  const layer = { upper: join(root, 'upper'), lower: [join(root, 'lower')] };
  const container: KnownContainer = { id: 'made', engine: 'docker', running: false, layer };
  const { artefacts, gaps } = await collect(layers, {
    containers: async () => ({ containers: [container], gaps: [] }),
  });
  const rows = rowsOf(artefacts.get('30-container/layers/drift.jsonl')) as unknown as readonly Row[];
  const archive = artefacts.get('30-container/layers/made.tar.zst') ?? Buffer.alloc(0);
  return { rows, gaps, archive };
}

async function folders(t: TestContext): Promise<string> {
  const root = await smallDisk(t, 64);
  for (const name of ['upper', 'lower', 'work', 'merged']) mkdirSync(join(root, name));
  return root;
}

/** Changes a mounted overlay that has `metacopy` and `redirect_dir`. */
function inOverlay(root: string, change: (merged: string) => void): void {
  const merged = join(root, 'merged');
  const at = `lowerdir=${root}/lower,upperdir=${root}/upper,workdir=${root}/work`;
  execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', `metacopy=on,redirect_dir=on,${at}`, merged]);
  try {
    change(merged);
  } finally {
    execFileSync('umount', [merged]);
  }
}

test('a metacopy has no digest and no content of its own, and what was renamed is not called added', {
  skip: needsRoot,
}, async (t) => {
  const root = await folders(t);
  for (const name of ['lower/etc', 'lower/app/bin']) mkdirSync(join(root, name), { recursive: true });
  writeFileSync(join(root, 'lower/etc/tool'), Buffer.alloc(MEBIBYTE, 'x'));
  for (const name of ['run', 'bin/tool']) writeFileSync(join(root, 'lower/app', name), name);
  inOverlay(root, (merged) => {
    execFileSync('chmod', ['4755', join(merged, 'etc/tool')]);
    renameSync(join(merged, 'app'), join(merged, 'renamed'));
    for (const name of ['run', 'bin/tool']) execFileSync('chmod', ['755', join(merged, 'renamed', name)]);
    writeFileSync(join(merged, 'plain'), 'new');
  });
  const { rows, gaps, archive } = await layersOf(root);
  assert.deepEqual(gaps, []);
  const changes = rows.map(({ file, impound }) => [file.path, impound.change, impound.redirect, file.type]);
  assert.deepEqual(changes.sort(), [
    ['/app', 'deleted', undefined, undefined],
    ['/etc', 'metadata', undefined, 'dir'],
    ['/etc/tool', 'metadata', undefined, 'file'],
    ['/plain', 'added', undefined, 'file'],
    ['/renamed', 'unknown', 'app', 'dir'],
    ['/renamed/bin', 'unknown', undefined, 'dir'],
    ['/renamed/bin/tool', 'unknown', undefined, 'file'],
    ['/renamed/run', 'unknown', undefined, 'file'],
  ]);
  const tool = rows.find(({ file }) => file.path === '/etc/tool');
  assert.deepEqual([tool?.file.hash, tool?.file.size], [undefined, MEBIBYTE]);
  assert.deepEqual([tool?.impound.metacopy, tool?.impound.setIdChanged], [true, true]);
  assert.ok(rows.find(({ file }) => file.path === '/plain')?.file.hash !== undefined);
  assert.ok(archive.length < MEBIBYTE);
  assert.match(
    archive.toString('latin1'),
    /"path":"etc\/tool".*"size":0,.*"truncated":"metacopy: its content is in a lower layer"/,
  );
});

test('user attributes, which anybody in a container sets, hide no content and no addition', {
  skip: needsRoot,
}, async (t) => {
  const root = await folders(t);
  mkdirSync(join(root, 'upper/dropped'));
  writeFileSync(join(root, 'upper/dropped/implant'), 'evil');
  execFileSync('setfattr', ['-n', 'user.overlay.metacopy', join(root, 'upper/dropped/implant')]);
  execFileSync('setfattr', ['-n', 'user.overlay.redirect', '-v', 'bin', join(root, 'upper/dropped')]);
  const { rows } = await layersOf(root);
  assert.deepEqual(
    rows.map(({ impound }) => impound.change),
    ['added', 'added'],
  );
  assert.ok(rows.some(({ file }) => file.path === '/dropped/implant' && file.hash !== undefined));
});

test('sparse files and further names of a file come after all others', { skip: needsRoot }, async (t) => {
  const root = await folders(t);
  const upper = join(root, 'upper');
  writeFileSync(join(upper, 'linked'), Buffer.alloc(4096));
  for (let number = 0; number < 20; number++) {
    writeFileSync(join(upper, `sparse${number}`), '');
    truncateSync(join(upper, `sparse${number}`), MEBIBYTE);
    linkSync(join(upper, 'linked'), join(upper, `name${number}`));
    writeFileSync(join(upper, `implant${number}`), 'evil');
  }
  const { rows, gaps } = await layersOf(root);
  assert.deepEqual(gaps, []);
  assert.equal(rows.length, 61);
  const first = rows.slice(0, 21).map(({ file }) => file.path.replace(/\d+/, ''));
  assert.equal(first.filter((path) => path === '/implant').length, 20);
});
