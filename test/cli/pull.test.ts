// impound pull from a real S3: whole, again, after a kill, and where the store is not as the chain says.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, link, mkdir, open, readdir, readFile, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { readChain } from '../../evidence/index.ts';
import { artefact, collector, sampleCollectors } from '../helpers/bundle.ts';
import { needs } from '../helpers/component.ts';
import { fileS3Bed, type S3Bed, s3Bundle } from '../helpers/s3-cli.ts';
import { type FaultProxy, startProxy } from '../testbed/fault-proxy.ts';
import { S3_COMPONENTS } from '../testbed/s3.ts';

const MIB = 1024 ** 2;
const BIG = 'data/70-log/big.bin';
const big = randomBytes(6 * MIB);
const collectors = [
  ...sampleCollectors,
  collector('big', async function* () {
    yield artefact('70-log/big.bin', big);
  }),
];
const why = ['--reason', 'triage of IR-7'];
const bed = await fileS3Bed();

/** Artefacts' bytes that were asked for, in order; the request itself is no evidence. */
function payloadReads({ seen }: FaultProxy, from = 0) {
  return seen
    .slice(from)
    .filter(({ method, target }) => method === 'GET' && /\/data\/(?!00-meta\/request)/.test(target));
}

async function setup(t: Parameters<typeof needs>[0], bucketMore = {}, bundleMore = {}) {
  if (!needs(t, ...S3_COMPONENTS) || bed === undefined) return undefined;
  const { name } = await bed.bucket(bucketMore);
  const bundle = await s3Bundle(bed, name, { collectors, ...bundleMore });
  const [dir, proxy] = [await bed.folder(), await startProxy(t, bed.s3.endpoint)];
  const pull = (...more: readonly string[]) =>
    bed.run(['pull', bundle.url, dir, ...why, ...more], { endpoint: proxy.endpoint });
  return { bed, name, bundle, dir, proxy, pull, at: (path: string) => join(dir, bundle.id, path) };
}

test('the access is on the chain before the first byte of evidence is read, and its files are the bundle', async (t) => {
  const made = await setup(t, { objectLock: true });
  if (made === undefined) return;
  const { bundle, proxy, pull, at, dir } = made;
  const pulled = await pull('--json');
  assert.equal(pulled.code, 0, pulled.stderr);
  const { access, fetched, kept, bytes, troubles } = JSON.parse(pulled.stdout);
  assert.equal(access.sequence, bundle.head.sequence + 1);
  const entry = proxy.seen.findIndex(({ method, target }) => method === 'PUT' && target.includes('/custody/'));
  assert.equal(proxy.seen[entry]?.status, 200);
  assert.equal(payloadReads(proxy).length, 7);
  assert.equal(payloadReads(proxy, entry).length, 7);
  const { predicate } = (await readChain(bundle.store)).at(-1)?.statement ?? {};
  assert.equal(predicate?.action, 'access');
  assert.equal(predicate?.details.reason, 'triage of IR-7');
  assert.deepEqual([kept, troubles], [0, []]);
  const files = (await readdir(at(''), { recursive: true, withFileTypes: true })).filter((file) => file.isFile());
  assert.equal(files.length, fetched);
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(file.parentPath, file.name))).size));
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    bytes,
  );
  assert.deepEqual(await readFile(at(BIG)), big);
  assert.deepEqual(await readdir(dir), [bundle.id], 'nothing half is left');

  const before = proxy.seen.length;
  const again = await pull('--json');
  assert.equal(again.code, 0, again.stderr);
  assert.deepEqual(payloadReads(proxy, before), [], 'what is whole is not fetched again');
  const second = JSON.parse(again.stdout);
  assert.deepEqual([second.fetched, second.kept], [1, fetched], 'the new entry');
  assert.ok(second.bytes < 10_000, 'only what was fetched counts');
});

test('a pull that was killed goes on where it was', async (t) => {
  const made = await setup(t);
  if (made === undefined) return;
  const { bed, bundle, dir, proxy, pull, at } = made;
  proxy.add({ target: /big\.bin/, fault: { kind: 'throttle', bytesPerSecond: 2 * MIB } });
  const child = bed.start(['pull', bundle.url, dir, ...why], { endpoint: proxy.endpoint });
  const half = join(dir, '.impound-pull', bundle.id);
  const size = async () => {
    const name = (await readdir(half).catch(() => [])).find((one) => one.includes('big'));
    return name === undefined ? 0 : (await stat(join(half, name))).size;
  };
  for (let tries = 0; tries < 400 && (await size()) < MIB; tries++) await sleep(25);
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  const had = await size();
  assert.ok(had >= MIB && had < big.length, `${had} bytes`);
  const before = proxy.seen.length;
  const pulled = await pull('--json');
  assert.equal(pulled.code, 0, pulled.stderr);
  const ranges = payloadReads(proxy, before).filter(({ target }) => target.includes('big.bin'));
  assert.deepEqual(
    ranges.map(({ headers }) => headers.range),
    [`bytes=${had}-`],
  );
  assert.deepEqual(await readFile(at(BIG)), big);
  assert.deepEqual(await readdir(dir), [bundle.id]);
});

test('a pull that was killed between the two names of a file takes the first away', async (t) => {
  const made = await setup(t);
  if (made === undefined) return;
  const { bundle, dir, pull, at } = made;
  assert.equal((await pull()).code, 0);
  const half = join(dir, '.impound-pull', bundle.id);
  await mkdir(half, { recursive: true });
  await link(at(BIG), join(half, BIG.replaceAll('/', '%')));
  assert.equal((await pull()).code, 0);
  assert.deepEqual(await readdir(dir), [bundle.id]);
  assert.deepEqual(await readFile(at(BIG)), big);
});

test('a half that is damaged here is no accusation of the store', async (t) => {
  const made = await setup(t);
  if (made === undefined) return;
  const { dir, bundle, proxy, pull, at } = made;
  proxy.add({ target: /big\.bin/, fault: { kind: 'answer', status: 403, code: 'AccessDenied' } });
  const failed = await pull();
  assert.equal(failed.code, 2, failed.stdout);
  const half = join(dir, '.impound-pull', bundle.id);
  const [name = ''] = await readdir(half);
  await writeFile(join(half, name), 'not what was there');
  const pulled = await pull('--json');
  assert.equal(pulled.code, 0, pulled.stdout);
  assert.deepEqual(await readFile(at(BIG)), big);
});

test('an artefact with another byte, one with another length, and one that is gone: the rest is had, exit status 1', async (t) => {
  const made = await setup(t);
  if (made === undefined) return;
  const { dir, bundle, pull, at } = made;
  const text = 'data/50-kernel/dmesg.txt.zst';
  const handle = await open(join(bundle.files, BIG), 'r+');
  await handle.write('!', MIB);
  await handle.close();
  await appendFile(join(bundle.files, text), 'more');
  await unlink(join(bundle.files, 'data/10-process/proc.tar.zst'));
  const pulled = await pull('--json');
  assert.equal(pulled.code, 1, pulled.stderr);
  const { troubles } = JSON.parse(pulled.stdout);
  const kinds = troubles.map(({ path, kind }: { path: string; kind: string }) => `${path} ${kind}`).sort();
  assert.deepEqual(kinds, ['data/10-process/proc.tar.zst missing', `${text} altered`, `${BIG} altered`]);
  for (const path of [BIG, text]) await assert.rejects(stat(at(path)), { code: 'ENOENT' });
  assert.deepEqual(await readdir(dir), [bundle.id], 'nothing of it is kept');
  assert.ok((await stat(at('data/10-process/processes.jsonl'))).size > 0);
  const printed = await pull();
  assert.equal(printed.code, 1);
  assert.match(printed.stdout, /^✘ data\/70-log\/big\.bin: its bytes are not those of the chain/m);
  assert.match(printed.stdout, /^✘ data\/10-process\/proc\.tar\.zst: the chain names this file and the store has not/m);
});

test('another file in an artefact’s place is left as it is', async (t) => {
  const made = await setup(t);
  if (made === undefined) return;
  const { pull, at } = made;
  assert.equal((await pull()).code, 0);
  await writeFile(at(BIG), 'mine');
  await truncate(at('data/50-kernel/dmesg.txt.zst'), 3);
  const pulled = await pull('--json');
  assert.equal(pulled.code, 1);
  assert.deepEqual(
    JSON.parse(pulled.stdout).troubles.map(({ kind }: { kind: string }) => kind),
    ['occupied', 'occupied'],
  );
  assert.equal(await readFile(at(BIG), 'utf8'), 'mine');
});

test('--only fetches what matches and the chain; what matches nothing is a wrong word, and not recorded', async (t) => {
  const made = await setup(t);
  if (made === undefined) return;
  const { bundle, proxy, pull, at } = made;
  const pulled = await pull('--only', '10-process/*.jsonl', '--json');
  assert.equal(pulled.code, 0, pulled.stderr);
  assert.deepEqual(await readdir(at('data')), ['10-process']);
  assert.equal(JSON.parse(pulled.stdout).left, 7);
  const before = (await readChain(bundle.store)).at(-1)?.statement.predicate;
  assert.deepEqual(before?.details.only, ['10-process/*.jsonl']);
  const reads = proxy.seen.length;
  const none = await pull('--only', '99-nothing/**');
  assert.equal(none.code, 64);
  assert.match(none.stderr, /no artefact matches 99-nothing/);
  assert.deepEqual(payloadReads(proxy, reads), []);
  assert.equal((await readChain(bundle.store)).at(-1)?.statement.predicate.sequence, before?.sequence);
});

test('--unrecorded writes nothing to the store, and says so', async (t) => {
  const made = await setup(t, { versioning: true });
  if (made === undefined) return;
  const { bed, name, pull, proxy } = made;
  const versions = () => objectsOf(bed, name);
  const before = await versions();
  const pulled = await pull('--unrecorded');
  assert.equal(pulled.code, 0, pulled.stderr);
  assert.match(pulled.stdout, /^the access is not on the custody chain \(--unrecorded\)$/m);
  assert.deepEqual(await versions(), before);
  assert.ok(proxy.seen.every(({ method }) => method === 'GET' || method === 'HEAD'));
});

test('what is none of a bundle’s is listed and left', async (t) => {
  const made = await setup(t);
  if (made === undefined) return;
  const { bundle, pull, at } = made;
  await writeFile(join(bundle.files, 'run-me.sh'), 'evil');
  await writeFile(join(bundle.files, 'data/10-process/added.jsonl'), 'evil');
  await writeFile(join(bundle.files, 'data', 'stray\u001b[2J'), 'evil');
  const pulled = await pull();
  assert.equal(pulled.code, 0, pulled.stderr);
  assert.match(pulled.stdout, /^left +3 objects that the chain has no place for: /m);
  assert.match(pulled.stdout, /run-me\.sh/);
  assert.ok(!pulled.stdout.includes('\u001b'));
  for (const path of ['run-me.sh', 'data/10-process/added.jsonl'])
    await assert.rejects(stat(at(path)), { code: 'ENOENT' });
});

test('of an open bundle what no entry names yet is fetched, and said', async (t) => {
  const made = await setup(t, {}, { seal: false });
  if (made === undefined) return;
  const { bundle, pull, at } = made;
  await writeFile(join(bundle.files, 'data/10-process/late.jsonl'), '{}');
  const pulled = await pull();
  assert.equal(pulled.code, 0, pulled.stderr);
  assert.match(pulled.stdout, /^unnamed 1 artefact that no entry names yet: data\/10-process\/late\.jsonl$/m);
  assert.match(pulled.stdout, /^every file that the chain names is as it says;/m);
  assert.equal(await readFile(at('data/10-process/late.jsonl'), 'utf8'), '{}');
});

async function objectsOf({ s3 }: S3Bed, name: string) {
  const { Versions = [] } = await s3.client.send(new ListObjectVersionsCommand({ Bucket: name }));
  return Versions.map(({ Key, VersionId, ETag }) => [Key, VersionId, ETag]);
}
