import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { timeline } from '../../../agent/collectors/timeline.ts';
import type { NodeContext } from '../../../agent/context.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { needsRoot } from '../../helpers/small-disk.ts';
import { mountFolder, temporaryFolder } from '../../helpers/temporary.ts';

const NO_ENGINES = { dockerSockets: [], criSockets: [], containerdSockets: [] };

function timelineOf(root: string, overrides: Partial<NodeContext> = {}): Promise<Collected> {
  return collect(timeline, { ...NO_ENGINES, host: hostAt(root), ...overrides });
}

/** Fields of the line of each name. */
function lines({ artefacts }: Collected): ReadonlyMap<string, readonly string[]> {
  const text = artefacts.get('60-file/bodyfile.zst')?.toString('utf8') ?? '';
  return new Map(
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => [line.split('|')[1] ?? '', line.split('|')]),
  );
}

interface RightsRow {
  readonly file: { readonly path: string; readonly mode?: string; readonly hash?: { readonly sha256: string } };
  readonly container?: { readonly id: string };
  readonly impound: Readonly<Record<string, unknown>>;
}

function rights({ artefacts }: Collected): readonly RightsRow[] {
  return rowsOf(artefacts.get('60-file/setuid.jsonl')) as unknown as readonly RightsRow[];
}

/** What mactime prints of the bodyfile, and what it complains about. */
function mactime(
  t: TestContext,
  folder: string,
  collected: Collected,
): { readonly text: string; readonly complaint: string } {
  const body = join(folder, 'body');
  writeFileSync(body, collected.artefacts.get('60-file/bodyfile.zst') ?? '');
  const { stdout, stderr, status } = spawnSync('mactime', ['-b', body, '-z', 'UTC', '-y', '-d'], {
    maxBuffer: 2 ** 28,
  });
  t.diagnostic(`mactime: ${stdout.length} bytes`);
  assert.equal(status, 0);
  return { text: stdout.toString('utf8'), complaint: stderr.toString('utf8') };
}

test('names, modes, owners, sizes and times are those of the files, and no access time changes', async (t) => {
  const root = await temporaryFolder(t);
  mkdirSync(join(root, 'etc'));
  const file = join(root, 'etc/passwd');
  writeFileSync(file, 'root');
  chmodSync(file, 0o640);
  utimesSync(file, 1_000_000_000, 1_100_000_000);
  symlinkSync('../etc/passwd', join(root, 'link'));
  execFileSync('mkfifo', [join(root, 'pipe')]);
  const server = createServer().listen(join(root, 'socket'));
  t.after(() => server.close());
  mkdirSync(join(root, 'tmp'));
  chmodSync(join(root, 'tmp'), 0o1777);
  const found = lines(await timelineOf(root));
  const stats = statSync(file);
  const birth = Math.floor(stats.birthtimeMs / 1000);
  const { ino, uid, gid } = stats;
  const changed = Math.floor(stats.ctimeMs / 1000);
  assert.deepEqual(found.get('/etc/passwd'), [
    ...['0', '/etc/passwd', String(ino), 'r/rrw-r-----', String(uid), String(gid), '4'],
    ...['1000000000', '1100000000', String(changed), String(birth)],
  ]);
  const modes = ['/link -> ../etc/passwd', '/pipe', '/socket', '/tmp', '/'].map((name) =>
    found.get(name)?.[3]?.slice(0, 3),
  );
  assert.deepEqual(modes, ['l/l', 'p/p', 'h/h', 'd/d', 'd/d']);
  assert.equal(found.get('/tmp')?.[3], 'd/drwxrwxrwt');
  assert.equal(statSync(file).atimeMs, 1_000_000_000_000);
});

test('mactime takes every hostile name without a warning, one line each', async (t) => {
  if (!needs(t, 'mactime')) return;
  const root = await temporaryFolder(t);
  const folder = await temporaryFolder(t);
  const hostile = [
    'a|b',
    'line\nbreak',
    'escape\u001b[31m',
    'per%0Acent',
    'back\\slash',
    'ünïcödé',
    'quote"',
    'x -> y',
    '#comment',
  ];
  const raw = Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x66, 0xff, 0xc3, 0x28])]);
  for (const name of [...hostile.map((name) => join(root, name)), raw, join(root, 'c1\u0085\u2028')]) {
    writeFileSync(name, '');
    utimesSync(name, 1_200_000_000, 1_200_000_000);
  }
  const { text, complaint } = mactime(t, folder, await timelineOf(root));
  assert.equal(complaint, '');
  const names = text
    .split('\n')
    .filter((line) => line.includes('2008-01-10'))
    .map((line) => line.split(',')[7]);
  const expected = [
    '/a\\x7cb',
    '/line\\x0abreak',
    '/escape\\x1b[31m',
    '/per\\x250Acent',
    '/back\\\\slash',
    '/ünïcödé',
    '/quote""',
  ];
  const others = ['/x -\\x3e y', '/#comment', '/f\\xff\\xc3(', '/c1\\xc2\\x85\\xe2\\x80\\xa8'];
  assert.deepEqual(names.sort(), [...expected, ...others].map((name) => `"${name}"`).sort());
});

test('mactime reads the bodyfile of this whole machine', { timeout: 300_000 }, async (t) => {
  if (!needs(t, 'mactime')) return;
  const folder = await temporaryFolder(t);
  const collected = await timelineOf('/', { ownFolders: ['/usr/share', '/root', '/work'] });
  const { text, complaint } = mactime(t, folder, collected);
  assert.equal(complaint, '');
  assert.match(text, /r\/rrwxr-xr-x,0,0,\d+,"\/(?:usr\/)?bin\//);
  const names = lines(collected);
  assert.ok(names.has('/usr/share') && !names.has('/usr/share/doc') && !names.has('/proc/self'));
});

test('set-id programs and file capabilities stand in a table of their own', { skip: needsRoot }, async (t) => {
  const root = await temporaryFolder(t);
  const program = (name: string, mode: number): string => {
    writeFileSync(join(root, name), name);
    chmodSync(join(root, name), mode);
    return join(root, name);
  };
  program('setuid', 0o4755);
  program('both\nodd', 0o6750);
  program('plain', 0o755);
  execFileSync('setcap', ['cap_net_raw,cap_setuid+ep', program('capa ble', 0o755)]);
  const collected = await timelineOf(root);
  assert.deepEqual(
    collected.gaps.map(({ name }) => name),
    ['file capabilities of 1 executable files'],
  );
  const found = new Map(rights(collected).map((row) => [row.file.path, row]));
  assert.deepEqual([...found.keys()].sort(), ['/both\nodd', '/capa ble', '/setuid']);
  assert.deepEqual([found.get('/setuid')?.file.mode, found.get('/setuid')?.impound.setuid], ['4755', true]);
  assert.equal(found.get('/setuid')?.file.hash?.sha256, createHash('sha256').update('setuid').digest('hex'));
  assert.deepEqual([found.get('/both\nodd')?.impound.setuid, found.get('/both\nodd')?.impound.setgid], [true, true]);
  assert.match(
    String(found.get('/capa ble')?.impound.capabilities),
    /^cap_net_raw,cap_setuid=ep$|^cap_setuid,cap_net_raw=ep$/,
  );
  assert.equal(lines(collected).get('/setuid')?.[3], 'r/rrwsr-xr-x');
});

test('a container’s upper directory has names of its own, and its files stand there once', {
  skip: needsRoot,
}, async (t) => {
  const root = await mountFolder(t);
  for (const path of ['image', 'engine/upper/tmp', 'engine/work', 'merged'])
    mkdirSync(join(root, path), { recursive: true });
  writeFileSync(join(root, 'image/of-the-image'), '');
  writeFileSync(join(root, 'engine/upper/tmp/implant'), '');
  chmodSync(join(root, 'engine/upper/tmp/implant'), 0o4755);
  execFileSync('mount', [
    '-t',
    'overlay',
    'overlay',
    '-o',
    `lowerdir=${root}/image,upperdir=${root}/engine/upper,workdir=${root}/engine/work`,
    join(root, 'merged'),
  ]);
  // the host's root is the machine's, so that the engine's paths are those the kernel shows
  const containers = [
    { id: 'c0ffee', engine: 'docker' as const, running: false, layer: { upper: `${root}/engine/upper`, lower: [] } },
  ];
  const leaveOut = ['/usr', '/work', '/root', '/var', '/home', '/opt', '/srv', '/etc'];
  const collected = await timelineOf('/', { ownFolders: leaveOut, containers: async () => ({ containers, gaps: [] }) });
  const names = [...lines(collected).keys()].filter(
    (name) => name.includes('implant') || name.includes('of-the-image'),
  );
  assert.deepEqual(
    names.filter((name) => name.startsWith(root) || name.startsWith('container:')),
    [`${root}/image/of-the-image`, 'container:c0ffee/tmp/implant'],
  );
  const row = rights(collected).find(({ file }) => file.path === '/tmp/implant');
  assert.equal(row?.container?.id, 'c0ffee');
  const trees = rowsOf(collected.artefacts.get('60-file/trees.jsonl')).map(
    ({ impound }) => (impound as { prefix: string }).prefix,
  );
  assert.deepEqual(trees, ['/', 'container:c0ffee']);
});

test('an aborted walk ends at once, and says so', async () => {
  await assert.rejects(timelineOf('/', { signal: AbortSignal.timeout(50) }), /stopped before all trees were walked/);
});
