// Drift against what a real overlay shows: several lower layers with marks of their own, and marks a container plants.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { layers } from '../../../agent/collectors/layers.ts';
import type { KnownContainer } from '../../../agent/containers.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { needsRoot, smallDisk } from '../../helpers/small-disk.ts';

interface Row {
  readonly file: Readonly<Record<string, unknown>> & { readonly path: string };
  readonly impound: Readonly<Record<string, unknown>>;
}

type Changes = Readonly<Record<string, unknown>>;

/** Folders of an overlay with the lower layers "middle" and "base". */
async function folders(t: TestContext): Promise<string> {
  const root = await smallDisk(t, 64);
  for (const name of ['upper', 'middle', 'base', 'work', 'merged', 'below']) mkdirSync(join(root, name));
  return root;
}

/** Runs `change` in a real overlay of `lower` (the topmost first) that writes to `upper`. */
function inOverlay(
  root: string,
  { lower, upper, options = 'metacopy=off,redirect_dir=off' }: { lower: string[]; upper: string; options?: string },
  change: (merged: string) => void,
): void {
  const merged = join(root, 'merged');
  const lowerdir = lower.map((name) => join(root, name)).join(':');
  const work = join(root, `work/${upper}`);
  mkdirSync(work, { recursive: true });
  const at = `${options},lowerdir=${lowerdir},upperdir=${root}/${upper},workdir=${work}`;
  execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', at, merged]);
  try {
    change(merged);
  } finally {
    execFileSync('umount', [merged]);
  }
}

/** Everything below `folder`, with what tells one content from another. */
function listing(folder: string, below = ''): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const name of readdirSync(join(folder, below))) {
    const path = `${below}/${name}`;
    const stats = lstatSync(join(folder, path));
    if (!stats.isDirectory()) found.set(path, readFileSync(join(folder, path), 'latin1'));
    else
      for (const [inner, content] of [[path, 'a folder'] as const, ...listing(folder, path)]) found.set(inner, content);
  }
  return found;
}

/** What each name is in the merged lower layers and after the container has run, as the kernel itself shows both. */
function truth(root: string, options: string) {
  const below = join(root, 'below');
  const lowerdir = `lowerdir=${root}/middle:${root}/base`;
  execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', `${options},${lowerdir}`, below]);
  try {
    const before = listing(below);
    let after = new Map<string, string>() as ReadonlyMap<string, string>;
    inOverlay(root, { lower: ['middle', 'base'], upper: 'upper', options }, (merged) => {
      after = listing(merged);
    });
    return { before, after };
  } finally {
    execFileSync('umount', [below]);
  }
}

async function driftOf(root: string, userxattr = false) {
  const lower = ['middle', 'base'].map((name) => join(root, name));
  const layer = { upper: join(root, 'upper'), lower, userxattr };
  const container: KnownContainer = { id: 'made', engine: 'docker', running: false, layer };
  const { artefacts, gaps } = await collect(layers, {
    containers: async () => ({ containers: [container], gaps: [] }),
  });
  const rows = rowsOf(artefacts.get('30-container/layers/drift.jsonl')) as unknown as readonly Row[];
  const changes: Changes = Object.fromEntries(rows.map(({ file, impound }) => [file.path, impound.change]));
  return { rows, gaps, changes };
}

/** Nothing is called what it is not, and nothing that came, changed or went is without a row of its own or above it. */
function assertTold({ before, after }: ReturnType<typeof truth>, changes: Changes): void {
  for (const [path, change] of Object.entries(changes)) {
    // what is made anew under an opaque folder is added: that the folder's old content went is told by its own row
    const was = before.has(path) && !isBelowOpaque(path, changes);
    assert.equal(
      change === 'added',
      !was && change !== 'deleted',
      `${path}: ${change}, it was${was ? '' : ' not'} there`,
    );
    if (change === 'deleted') assert.ok(!after.has(path), `${path} is still there`);
  }
  for (const [path, content] of after) {
    if (before.get(path) !== content) assert.ok(path in changes, `${path} has no row`);
  }
  const goes = (path: string): boolean =>
    path !== '' &&
    (['deleted', 'opaque', 'changed'].includes(String(changes[path])) || goes(path.slice(0, path.lastIndexOf('/'))));
  for (const path of before.keys()) if (!after.has(path)) assert.ok(goes(path), `${path} is gone without a row`);
}

function isBelowOpaque(path: string, changes: Changes): boolean {
  const parent = path.slice(0, path.lastIndexOf('/'));
  return parent !== '' && (changes[parent] === 'opaque' || isBelowOpaque(parent, changes));
}

const PLAIN = 'metacopy=off,redirect_dir=off';

test('drift is told against the merged lower layers: what the middle one changed, deleted and made anew', {
  skip: needsRoot,
}, async (t) => {
  const root = await folders(t);
  const files = ['etc/a', 'etc/b', 'etc/c', 'srv/x', 'bin/tool', 'gone/deep/y', 'turned'];
  for (const path of files) {
    mkdirSync(join(root, 'base', path, '..'), { recursive: true });
    writeFileSync(join(root, 'base', path), `base ${path}`);
  }
  inOverlay(root, { lower: ['base'], upper: 'middle' }, (merged) => {
    writeFileSync(join(merged, 'etc/a'), 'middle');
    rmSync(join(merged, 'etc/b'));
    rmSync(join(merged, 'gone'), { recursive: true });
    rmSync(join(merged, 'turned'));
    mkdirSync(join(merged, 'turned'));
    writeFileSync(join(merged, 'turned/in'), 'middle');
  });
  inOverlay(root, { lower: ['middle', 'base'], upper: 'upper' }, (merged) => {
    writeFileSync(join(merged, 'etc/a'), 'upper'); // the middle one's
    writeFileSync(join(merged, 'etc/b'), 'upper'); // deleted in the middle
    writeFileSync(join(merged, 'etc/c'), 'upper'); // the base's
    rmSync(join(merged, 'srv/x'));
    mkdirSync(join(merged, 'gone/deep'), { recursive: true }); // nothing of the base's shows in it
    writeFileSync(join(merged, 'gone/deep/y'), 'upper');
    writeFileSync(join(merged, 'turned/in'), 'upper');
    rmSync(join(merged, 'bin'), { recursive: true });
    mkdirSync(join(merged, 'bin'));
    writeFileSync(join(merged, 'bin/tool'), 'upper');
  });
  const { changes, gaps } = await driftOf(root);
  assert.deepEqual(gaps, []);
  assertTold(truth(root, PLAIN), changes);
  assert.deepEqual(changes, {
    '/bin': 'opaque',
    '/bin/tool': 'added',
    '/etc': 'metadata',
    '/etc/a': 'changed',
    '/etc/b': 'added',
    '/etc/c': 'changed',
    '/gone': 'added',
    '/gone/deep': 'added',
    '/gone/deep/y': 'added',
    '/srv': 'metadata',
    '/srv/x': 'deleted',
    '/turned': 'metadata',
    '/turned/in': 'changed',
  });
});

test("a lower layer's opaque folder hides what is below it: what comes there again is added", {
  skip: needsRoot,
}, async (t) => {
  const root = await folders(t);
  mkdirSync(join(root, 'base/app'));
  for (const name of ['old', 'other']) writeFileSync(join(root, 'base/app', name), 'base');
  inOverlay(root, { lower: ['base'], upper: 'middle' }, (merged) => {
    rmSync(join(merged, 'app'), { recursive: true });
    mkdirSync(join(merged, 'app'));
    writeFileSync(join(merged, 'app/new'), 'middle');
  });
  inOverlay(root, { lower: ['middle', 'base'], upper: 'upper' }, (merged) => {
    writeFileSync(join(merged, 'app/old'), 'an implant under the name of a file that the image had once');
    writeFileSync(join(merged, 'app/new'), 'upper');
  });
  const { before, after } = truth(root, PLAIN);
  assert.deepEqual([before.has('/app/old'), before.has('/app/new'), after.has('/app/other')], [false, true, false]);
  const { changes } = await driftOf(root);
  assert.deepEqual(changes, { '/app': 'metadata', '/app/old': 'added', '/app/new': 'changed' });
});

test("what a lower layer's folder was before it was renamed there is not called added", {
  skip: needsRoot,
}, async (t) => {
  const root = await folders(t);
  const options = 'metacopy=on,redirect_dir=on';
  mkdirSync(join(root, 'base/old'));
  for (const name of ['kept', 'same']) writeFileSync(join(root, 'base/old', name), 'base');
  inOverlay(root, { lower: ['base'], upper: 'middle', options }, (merged) => {
    renameSync(join(merged, 'old'), join(merged, 'moved'));
    execFileSync('chmod', ['700', join(merged, 'moved/same')]);
  });
  inOverlay(root, { lower: ['middle', 'base'], upper: 'upper', options }, (merged) => {
    writeFileSync(join(merged, 'moved/kept'), 'upper');
    writeFileSync(join(merged, 'moved/same'), 'upper');
    writeFileSync(join(merged, 'moved/fresh'), 'upper');
    mkdirSync(join(merged, 'old'));
    writeFileSync(join(merged, 'old/kept'), 'upper');
  });
  const { before } = truth(root, options);
  assert.deepEqual([...before.keys()].sort(), ['/moved', '/moved/kept', '/moved/same']);
  const { changes } = await driftOf(root);
  // where the redirect is not followed nobody can tell; "added" would be wrong of what was there
  assert.ok(['changed', 'unknown'].includes(String(changes['/moved/kept'])), JSON.stringify(changes));
  assert.equal(changes['/moved/same'], 'changed');
  assert.ok(['added', 'unknown'].includes(String(changes['/moved/fresh'])), JSON.stringify(changes));
  assert.deepEqual([changes['/old'], changes['/old/kept']], ['added', 'added']);
});

/** As root in a container has no capability over the host's trusted attributes: user attributes are what it can set. */
const PLANTS = `
import os, sys
os.chdir(sys.argv[1])
os.setgid(65534); os.setuid(65534)
open("app/empty", "w").close()
os.setxattr("app/empty", "user.overlay.whiteout", b"y")
os.setxattr("app", "user.overlay.opaque", sys.argv[2].encode())
open("app/tool", "a").write("changed")
os.setxattr("app/tool", "user.overlay.metacopy", b"")
os.setxattr("app", "user.overlay.redirect", b"/elsewhere")
`;

for (const opaque of ['y', 'x']) {
  test(`user attributes that a container plants (opaque=${opaque}) make no whiteout, no opaque folder, no metacopy`, {
    skip: needsRoot,
  }, async (t) => {
    if (!needs(t, 'python3')) return;
    const root = await folders(t);
    mkdirSync(join(root, 'base/app'));
    for (const name of ['tool', 'other']) writeFileSync(join(root, 'base/app', name), 'base');
    execFileSync('chown', ['-R', '65534:65534', join(root, 'base/app')]);
    for (const folder of [root, join(root, 'merged')]) execFileSync('chmod', ['755', folder]);
    inOverlay(root, { lower: ['middle', 'base'], upper: 'upper' }, (merged) => {
      execFileSync('python3', ['-c', PLANTS, merged, opaque]);
      // nothing of it is a mark for the kernel
      assert.deepEqual(readdirSync(join(merged, 'app')).sort(), ['empty', 'other', 'tool']);
    });
    const { changes, rows } = await driftOf(root);
    assert.deepEqual(changes, { '/app': 'metadata', '/app/empty': 'added', '/app/tool': 'changed' });
    for (const { impound } of rows) {
      assert.deepEqual([impound.opaque, impound.metacopy, impound.redirect], [undefined, undefined, undefined]);
    }
    assert.ok(rows.every(({ file }) => file.type === 'dir' || file.hash !== undefined));
  });
}

test('marks that root in a nested overlay sets are not marks of the outer one', { skip: needsRoot }, async (t) => {
  const root = await folders(t);
  mkdirSync(join(root, 'base/app'));
  writeFileSync(join(root, 'base/app/tool'), 'base');
  inOverlay(root, { lower: ['middle', 'base'], upper: 'upper' }, (merged) => {
    execFileSync('setfattr', ['-n', 'trusted.overlay.opaque', '-v', 'y', join(merged, 'app')]);
    writeFileSync(join(merged, 'app/tool'), 'upper');
  });
  const { changes } = await driftOf(root);
  assert.deepEqual(changes, { '/app': 'metadata', '/app/tool': 'changed' });
});

test('with the mount option userxattr the same attributes are the marks: a folder made anew is opaque', {
  skip: needsRoot,
}, async (t) => {
  const root = await folders(t);
  mkdirSync(join(root, 'base/app'));
  for (const name of ['tool', 'other']) writeFileSync(join(root, 'base/app', name), 'base');
  inOverlay(root, { lower: ['middle', 'base'], upper: 'upper', options: 'userxattr' }, (merged) => {
    rmSync(join(merged, 'app'), { recursive: true });
    mkdirSync(join(merged, 'app'));
    writeFileSync(join(merged, 'app/tool'), 'upper');
  });
  const mark = execFileSync('getfattr', ['-n', 'user.overlay.opaque', '--only-values', 'app'], {
    cwd: join(root, 'upper'),
  });
  assert.equal(mark.toString(), 'y');
  assert.deepEqual((await driftOf(root, true)).changes, { '/app': 'opaque', '/app/tool': 'added' });
});
