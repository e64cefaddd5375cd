// impound pull into a folder that somebody prepared, of a bundle that somebody forged, and where it may or can not write.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { link, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ChainWriter, generateKeyFiles, readChain, recoverBundle, systemClock } from '../../evidence/index.ts';
import { artefact, collector } from '../helpers/bundle.ts';
import { needs } from '../helpers/component.ts';
import { type BundleMore, fileS3Bed, s3Bundle } from '../helpers/s3-cli.ts';
import { needsRoot, smallDisk } from '../helpers/small-disk.ts';
import { startProxy } from '../testbed/fault-proxy.ts';
import { S3_COMPONENTS } from '../testbed/s3.ts';

const MIB = 1024 ** 2;
const why = ['--reason', 'a test'];
const bed = await fileS3Bed();

async function setup(t: TestContext, more: BundleMore = {}) {
  if (!needs(t, ...S3_COMPONENTS) || bed === undefined) return undefined;
  const { name } = await bed.bucket();
  const bundle = await s3Bundle(bed, name, more);
  const base = await bed.folder();
  const [dir, elsewhere] = [join(base, 'case'), join(base, 'elsewhere')];
  for (const folder of [dir, elsewhere]) await mkdir(folder);
  const pull = (...words: readonly string[]) => bed.run(['pull', bundle.url, dir, ...why, ...words]);
  return { bed, name, bundle, base, dir, elsewhere, pull };
}

for (const place of ['ID', 'ID/data', 'ID/data/10-process', 'ID/custody/keys', '.impound-pull', '.impound-pull/ID'])
  test(`nothing is written through a link at ${place}`, async (t) => {
    const made = await setup(t);
    if (made === undefined) return;
    const { bundle, dir, elsewhere, pull } = made;
    const path = join(dir, place.replace('ID', bundle.id));
    await mkdir(join(path, '..'), { recursive: true });
    await symlink(elsewhere, path);
    const pulled = await pull();
    assert.equal(pulled.code, 2, pulled.stdout);
    assert.match(pulled.stderr + pulled.stdout, /is a link: nothing is written through it/);
    assert.deepEqual(await readdir(elsewhere), []);
  });

test('a half file that is a link, or has a second name, is not written to', async (t) => {
  const made = await setup(t);
  if (made === undefined) return;
  const { bundle, dir, elsewhere, pull } = made;
  const half = join(dir, '.impound-pull', bundle.id);
  await mkdir(half, { recursive: true });
  const [first, second] = [join(elsewhere, 'first'), join(elsewhere, 'second')];
  for (const file of [first, second]) await writeFile(file, 'mine');
  await symlink(first, join(half, 'data%10-process%processes.jsonl'));
  await link(second, join(half, 'data%50-kernel%dmesg.txt.zst'));
  const pulled = await pull();
  assert.equal(pulled.code, 2, pulled.stdout);
  assert.match(pulled.stdout, /^✘ data\/10-process\/processes\.jsonl: /m);
  assert.match(pulled.stdout, /^✘ data\/50-kernel\/dmesg\.txt\.zst: /m);
  for (const file of [first, second]) assert.equal(await readFile(file, 'utf8'), 'mine');
});

test('a bundle whose name is a way out, or no name of a bundle, is refused before it is recorded', async (t) => {
  for (const id of ['../elsewhere', '../../x', '/etc', '.', '.impound-pull', '.ssh', 'a/b', '']) {
    const made = await setup(t, { id, seal: false });
    if (made === undefined) return;
    const { bundle, base, dir, elsewhere, pull } = made;
    const pulled = await pull();
    assert.equal(pulled.code, 2, `${id}: ${pulled.stdout}`);
    assert.match(pulled.stderr, /\[not-a-bundle\]$/m, id);
    assert.deepEqual([await readdir(dir), await readdir(elsewhere)], [[], []], id);
    assert.deepEqual((await readdir(base)).sort(), ['case', 'elsewhere']);
    assert.notEqual((await readChain(bundle.store)).at(-1)?.statement.predicate.action, 'access');
  }
});

test('what the chain names outside the layout is never written', async (t) => {
  const made = await setup(t, { seal: false });
  if (made === undefined) return;
  const { bed, bundle, base, dir, elsewhere, pull } = made;
  const entries = await readChain(bundle.store);
  const chain = new ChainWriter({ ...bundle.custody, bundle: bundle.id, entries, clock: systemClock });
  const now = new Date().toISOString();
  const names = ['../../elsewhere/x', 'data/../../../elsewhere/x', '/etc/x', 'data/00-meta/../../x'];
  const sha256 = '0'.repeat(64);
  const common = { size: 1, sha256, collector: 'evil', session: 1, source: '/', begun: now, ended: now };
  const artefacts = names.map((path) => ({ path, ...common }));
  await chain.append('collect', { artefacts }, { subjects: [{ name: names[0] ?? '', digest: { sha256 } }] });
  await writeFile(join(bundle.files, '..', 'x'), 'x');
  await writeFile(join(bundle.files, 'x'), 'x');
  const pulled = await pull();
  assert.notEqual(pulled.code, 0, pulled.stdout);
  assert.deepEqual(await readdir(elsewhere), []);
  assert.deepEqual((await readdir(base)).sort(), ['case', 'elsewhere']);
  const found = await readdir(dir, { recursive: true });
  assert.ok(!found.some((path) => path.endsWith('/x')), found.join());
  assert.ok(bed);
});

test('an artefact of a path longer than a file name may be', async (t) => {
  const long = `data/60-file/${'a'.repeat(150)}/${'b'.repeat(150)}.txt`;
  const collectors = [
    collector('long', async function* () {
      yield artefact(long.slice('data/'.length), 'content');
    }),
  ];
  const made = await setup(t, { collectors });
  if (made === undefined) return;
  const { bundle, dir, pull } = made;
  const pulled = await pull();
  assert.equal(pulled.code, 0, pulled.stdout);
  assert.equal(await readFile(join(dir, bundle.id, long), 'utf8'), 'content');
});

test('who may not write to the chain reads nothing, unless the access need not be recorded', async (t) => {
  const made = await setup(t);
  if (made === undefined) return;
  const { bed, name, bundle, dir } = made;
  await bed.s3.allow(name, ['s3:GetObject', 's3:GetObjectVersion', 's3:ListBucket', 's3:ListBucketVersions']);
  const proxy = await startProxy(t, bed.s3.endpoint);
  const reader = { account: bed.s3.user, endpoint: proxy.endpoint };
  const refused = await bed.run(['pull', bundle.url, dir, ...why], reader);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /nothing was read: .*s3:PutObject.*--unrecorded \[store-denied\]$/m);
  assert.deepEqual(
    proxy.seen.filter(({ target }) => target.includes('/data/')),
    [],
  );
  const files = await readdir(dir, { recursive: true, withFileTypes: true });
  assert.ok(!files.some((file) => file.isFile()));
  const read = await bed.run(['pull', bundle.url, dir, ...why, '--unrecorded'], reader);
  assert.equal(read.code, 0, read.stderr + read.stdout);
});

test('a folder that cannot be made is said, and no access is recorded', async (t) => {
  const made = await setup(t);
  if (made === undefined) return;
  const { bed, bundle } = made;
  const refused = await bed.run(['pull', bundle.url, '/proc/none/below', ...why]);
  assert.equal(refused.code, 2, refused.stdout);
  assert.match(refused.stderr, /^impound: cannot write \/proc\/none\/below\/[^ ]+: ENOENT \[store-failed\]$/m);
  assert.notEqual((await readChain(bundle.store)).at(-1)?.statement.predicate.action, 'access');
});

test('a disk that is full is said, and what was fetched is gone on from', { skip: needsRoot }, async (t) => {
  const bytes = randomBytes(3 * MIB);
  const collectors = [
    collector('big', async function* () {
      yield artefact('70-log/big.bin', bytes);
    }),
  ];
  const made = await setup(t, { collectors });
  if (made === undefined) return;
  const { bed, bundle } = made;
  const disk = await smallDisk(t, 1);
  const full = await bed.run(['pull', bundle.url, disk, ...why]);
  assert.equal(full.code, 2, full.stdout);
  assert.match(full.stderr, /is full: make room and pull again, what was fetched is kept \[store-full\]$/m);
  const half = join(disk, '.impound-pull', bundle.id);
  const [name = ''] = await readdir(half);
  const { size } = await stat(join(half, name));
  assert.ok(size > 0.5 * MIB, `${size} bytes`);
  const roomy = await bed.folder();
  await rm(roomy, { recursive: true });
  const { execFileSync } = await import('node:child_process');
  execFileSync('cp', ['-a', disk, roomy]);
  const proxy = await startProxy(t, bed.s3.endpoint);
  const pulled = await bed.run(['pull', bundle.url, roomy, ...why], { endpoint: proxy.endpoint });
  assert.equal(pulled.code, 0, pulled.stdout);
  const range = proxy.seen.find(({ target }) => target.includes('big.bin'))?.headers.range;
  assert.equal(range, `bytes=${size}-`);
  assert.deepEqual(await readFile(join(roomy, bundle.id, 'data/70-log/big.bin')), bytes);
});

test('a bundle that is not sealed takes an access only by the key that began it', async (t) => {
  const made = await setup(t, { seal: false });
  if (made === undefined) return;
  const { bed, bundle, dir } = made;
  const home = await bed.folder();
  await generateKeyFiles(join(home, 'impound', 'signing.pem'));
  const refused = await bed.run(['pull', bundle.url, dir, ...why], { home });
  assert.equal(refused.code, 2, refused.stdout);
  assert.match(refused.stderr, /is not sealed.*impound seal.*--unrecorded \[key-unsuitable\]$/m);
  assert.equal((await bed.run(['pull', bundle.url, dir, ...why, '--unrecorded'], { home })).code, 0);
  assert.equal((await bed.run(['pull', bundle.url, dir, ...why])).code, 0);
  // by the process that began it: anybody else is told that this one is running
  await recoverBundle(bundle.custody);
  const later = await bed.run(['pull', bundle.url, dir, ...why], { home });
  assert.equal(later.code, 0, later.stdout + later.stderr);
  const verified = await bed.run(['verify', bundle.url, '--key', bed.key, '--strict', '--json']);
  assert.equal(verified.code, 0, verified.stdout);
  assert.deepEqual(
    JSON.parse(verified.stdout).warnings.map(({ code }: { code: string }) => code),
    ['signer-after-seal'],
  );
});
