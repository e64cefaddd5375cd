import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { fileCapabilities } from '../../../agent/collectors/layers/row.ts';
import { xattrParser } from '../../../agent/collectors/layers/xattrs.ts';
import { layers } from '../../../agent/collectors/layers.ts';
import type { KnownContainer } from '../../../agent/containers.ts';
import { tarArchive, verifyBundle } from '../../../evidence/index.ts';
import { collector, makeBundle } from '../../helpers/bundle.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { needsRoot, smallDisk } from '../../helpers/small-disk.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

/** Layers of one container whose folders are `upper` and `lower` below `root`. */
function layersOf(root: string): Promise<Collected> {
  const layer = { upper: join(root, 'upper'), lower: [join(root, 'lower')] };
  const container: KnownContainer = { id: 'made', engine: 'docker', running: false, layer };
  return collect(layers, { containers: async () => ({ containers: [container], gaps: [] }) });
}

test('attributes of hostile names are read: line ends, backslashes, what is no UTF-8', {
  skip: needsRoot,
}, async (t) => {
  const root = await temporaryFolder(t);
  for (const name of ['upper', 'lower']) mkdirSync(join(root, name));
  const names = [Buffer.from('a\n# file: b\nuser.x=0sAAAA'), Buffer.from('back\\012slash'), Buffer.from([0x66, 0xff])];
  for (const name of names) {
    writeFileSync(Buffer.concat([Buffer.from(`${root}/upper/`), name]), 'x');
  }
  symlinkSync('/etc/passwd', join(root, 'upper/link'));
  execFileSync('python3', [
    '-c',
    "import os, sys\nfor n in os.scandir(os.fsencode(sys.argv[1])):\n  if n.is_file(follow_symlinks=False): os.setxattr(n.path, b'user.o\\nd=d', n.name)",
    join(root, 'upper'),
  ]);
  const { artefacts, gaps } = await layersOf(root);
  assert.deepEqual(gaps, []);
  const text = artefacts.get('30-container/layers/made.tar.zst')?.toString('latin1') ?? '';
  const manifest = text
    .slice(text.lastIndexOf('MANIFEST.jsonl'))
    .split('\n')
    .flatMap((line) => line.match(/\{"path".*\}/) ?? []);
  const values = manifest.flatMap((line) => Object.entries((JSON.parse(line).xattrs ?? {}) as Record<string, string>));
  assert.deepEqual(
    values.map(([name]) => name),
    ['user.o\nd=d', 'user.o\nd=d', 'user.o\nd=d'],
  );
  const found = values.map(([, value]) => Buffer.from(value, 'base64').toString('hex')).sort();
  assert.deepEqual(found, names.map((name) => name.toString('hex')).sort());
});

test('what getfattr prints never throws, whatever it is', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.string(), fc.constantFrom('# file: /u/x', 'user.a=0sAAAA', 'user.b', '')), {
        maxLength: 30,
      }),
      (lines) => {
        const parser = xattrParser('/u');
        for (const line of lines) parser.take(line);
        for (const path of parser.found.keys()) assert.ok(!path.startsWith('/u'));
      },
    ),
  );
});

test('capabilities of a changed program and of an added one are told', { skip: needsRoot }, async (t) => {
  const root = await temporaryFolder(t);
  for (const name of ['upper/bin', 'lower/bin']) mkdirSync(join(root, name), { recursive: true });
  for (const name of ['upper/bin/both', 'lower/bin/both', 'upper/bin/new']) writeFileSync(join(root, name), name);
  execFileSync('setcap', ['cap_net_raw+ep', join(root, 'upper/bin/both')]);
  const rows = rowsOf((await layersOf(root)).artefacts.get('30-container/layers/drift.jsonl'));
  const both = rows.find(({ file }) => (file as { path: string }).path === '/bin/both');
  const { change, capabilities } = (both?.impound ?? {}) as { change?: string; capabilities?: unknown };
  assert.equal(change, 'changed');
  assert.deepEqual(capabilities, { effective: true, permitted: ['CAP_NET_RAW'], inheritable: [] });
});

test('a capability attribute of any bytes is told or kept raw', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => assert.ok(fileCapabilities(bytes) !== undefined)));
  const ofUser = Buffer.from('0100000300200000000000000000000000000000e8030000', 'hex');
  assert.deepEqual(fileCapabilities(ofUser), {
    effective: true,
    permitted: ['CAP_NET_RAW'],
    inheritable: [],
    rootUid: 1000,
  });
});

test('lower layers: the topmost tells, a whiteout there hides, and no link in them is followed', async (t) => {
  const root = await temporaryFolder(t);
  for (const name of ['upper/etc', 'upper/alias', 'lower/etc', 'target'])
    mkdirSync(join(root, name), { recursive: true });
  symlinkSync(join(root, 'target'), join(root, 'lower/alias'));
  for (const name of ['upper/alias/x', 'target/x', 'upper/etc/y']) writeFileSync(join(root, name), name);
  mkdirSync(join(root, 'lower/etc/y'));
  const rows = rowsOf((await layersOf(root)).artefacts.get('30-container/layers/drift.jsonl'));
  const changes = Object.fromEntries(
    rows.map(({ file, impound }) => [(file as { path: string }).path, (impound as { change: string }).change]),
  );
  assert.deepEqual(changes, { '/alias': 'changed', '/alias/x': 'added', '/etc': 'metadata', '/etc/y': 'changed' });
});

test('a lower directory that is gone is a gap, and nothing is called added for that', async (t) => {
  const root = await temporaryFolder(t);
  mkdirSync(join(root, 'upper'));
  writeFileSync(join(root, 'upper/a'), '');
  // others than root have one for the trusted attributes too
  const about = ({ gaps }: Collected): Collected['gaps'] => gaps.filter(({ reason }) => reason !== 'denied');
  const first = await layersOf(root);
  const { artefacts } = first;
  assert.deepEqual(
    about(first).map(({ name }) => name),
    [`lower directory ${join(root, 'lower')}`],
  );
  const [row] = rowsOf(artefacts.get('30-container/layers/drift.jsonl'));
  assert.equal((row?.impound as { change?: string } | undefined)?.change, 'unknown');
  await rm(join(root, 'upper'), { recursive: true });
  assert.equal(about(await layersOf(root))[0]?.reason, 'vanished');
});

test('an archive with attributes of every kind proves, and another tar restores them', {
  skip: needsRoot,
}, async (t) => {
  const store = await temporaryFolder(t);
  const xattrs = new Map<string, Uint8Array>([
    ['user.text', Buffer.from('ünïcödé\nline')],
    ['user.binary', Buffer.from([0, 1, 255])],
    ['user.a=b\n', Buffer.from('x')],
    ...Array.from({ length: 100 }, (_, n): [string, Uint8Array] => [
      `user.${'\u0001'.repeat(240)}${n}`,
      Buffer.from('x'),
    ]),
    ['user.large', Buffer.alloc(60_000, 0x61)],
    ['user.larger', Buffer.alloc(60_000, 0x62)],
  ]);
  const members = [{ name: 'file', content: Buffer.from('x'), xattrs }];
  const made = await makeBundle(store, [
    collector('layers', async function* () {
      yield { kind: 'artefact', path: '30-container/layers/x.tar', source: 'test', content: tarArchive(members) };
    }),
  ]);
  assert.equal((await verifyBundle(made.store)).verdict, 'intact');
  const out = await temporaryFolder(t);
  execFileSync('tar', [
    '-C',
    out,
    '--xattrs',
    '--xattrs-include=user.text',
    '-xf',
    join(made.path, 'data/30-container/layers/x.tar'),
    'file',
  ]);
  const text = execFileSync('getfattr', ['-n', 'user.text', '--only-values', '--absolute-names', join(out, 'file')]);
  assert.equal(text.toString(), 'ünïcödé\nline');
});

test('large files come after the small ones, and a container without an overlay is a gap', async (t) => {
  const root = await temporaryFolder(t);
  for (const name of ['upper/a', 'lower']) mkdirSync(join(root, name), { recursive: true });
  writeFileSync(join(root, 'upper/a/large'), Buffer.alloc(40 * 1024 ** 2));
  for (const name of ['b', 'c', 'a/small']) writeFileSync(join(root, 'upper', name), name);
  const { artefacts } = await layersOf(root);
  const rows = rowsOf(artefacts.get('30-container/layers/drift.jsonl'));
  const paths = rows.map(({ file }) => (file as { path: string }).path);
  assert.deepEqual([paths.length, paths.at(-1)], [5, '/a/large']);
  const container: KnownContainer = { id: 'c', engine: 'docker', running: false };
  const { gaps } = await collect(layers, { containers: async () => ({ containers: [container], gaps: [] }) });
  assert.deepEqual(
    gaps.map(({ reason, name }) => [reason, name]),
    [['unsupported', 'upper directory of container c (docker)']],
  );
});

test('more attributes than an archive takes are counted', { skip: needsRoot }, async (t) => {
  const disk = await smallDisk(t, 8);
  for (const name of ['upper', 'lower']) mkdirSync(join(disk, name));
  writeFileSync(join(disk, 'upper/file'), '');
  const set = "import os, sys\nfor n in range(4): os.setxattr(sys.argv[1], 'trusted.x%d' % n, b'x' * 30000)";
  execFileSync('python3', ['-c', set, join(disk, 'upper/file')]);
  const { gaps } = await layersOf(disk);
  assert.deepEqual(
    gaps.map(({ reason, name }) => [reason, name]),
    [['truncated', 'container made upper directory/file: 1 attributes left']],
  );
});
