// Uploads into a directory over a real TLS server: the same uploader, the same promises as with S3.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DirectoryStore } from '../../../evidence/store/directory.ts';
import { readWhole } from '../../../evidence/store/store.ts';
import type { UploadGrants } from '../../../evidence/store/upload/grants.ts';
import { type Uploader, type UploaderOptions, uploader } from '../../../evidence/store/upload.ts';
import type { Uploads } from '../../../evidence/store/uploads.ts';
import { needs } from '../../helpers/component.ts';
import { type Bytes, startReceiver } from '../../helpers/receiver.ts';
import { needsRoot, smallDisk } from '../../helpers/small-disk.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

const MIB = 1024 ** 2;
const PART = 16 * MIB;
const PATH = 'data/00-meta/a.bin';

interface Uploading {
  readonly store: DirectoryStore;
  readonly partial: string;
  readonly bytes: Bytes;
  readonly uploads: Uploads;
  readonly grants: UploadGrants;
  readonly up: Uploader;
  with(options: Partial<UploaderOptions>): Uploader;
}

async function uploading(t: TestContext, at?: string): Promise<Uploading> {
  const [folder, bytes] = [at ?? (await temporaryFolder(t)), await startReceiver(t)];
  const partial = join(folder, '.partial/one');
  const store = new DirectoryStore({ root: join(folder, 'one'), partial });
  const uploads = store.uploads({ receiver: bytes.receiver });
  bytes.serve(uploads);
  const { grants } = uploads;
  const made = (options: Partial<UploaderOptions>): Uploader => {
    const one = uploader({ grants, ca: bytes.ca, patience: { milliseconds: 1000 }, ...options });
    t.after(() => one.close());
    return one;
  };
  return { store, partial, bytes, uploads, grants, up: made({}), with: made };
}

const hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function upload(up: Uploader, path: string, bytes: Uint8Array) {
  const writer = await up.create(path);
  try {
    for (let start = 0; start < bytes.length; start += MIB) await writer.write(bytes.subarray(start, start + MIB));
    return await writer.commit();
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

test('objects of no bytes, of one piece and of parts arrive whole, and leave nothing half-written', async (t) => {
  if (!needs(t, 'openssl')) return;
  const { store, partial, up, grants } = await uploading(t);
  for (const size of [0, 1, 600_000, PART, 2 * PART + 5]) {
    const [path, bytes] = [`data/40-memory/${size}`, randomBytes(size)];
    const stored = await upload(up, path, bytes);
    assert.deepEqual([stored.size, stored.sha256], [size, hex(bytes)]);
    assert.equal(stored.parts?.length, size < PART ? undefined : Math.ceil(size / PART));
    assert.equal(hex(await readWhole(store, path, 3 * PART)), hex(bytes));
    if (stored.parts !== undefined) assert.deepEqual(await grants.finishedUpload(path, stored.parts), {});
  }
  assert.deepEqual(await readdir(partial), []);
});

test('many objects go out at once', async (t) => {
  if (!needs(t, 'openssl')) return;
  const { store, up, bytes } = await uploading(t);
  const noise = randomBytes(200_000);
  const paths = Array.from({ length: 100 }, (_, n) => `data/10-process/${n}`);
  await Promise.all(paths.map((path) => upload(up, path, noise)));
  for (const path of paths) assert.equal(await store.size(path), noise.length);
  assert.deepEqual(
    bytes.answers.filter(({ status }) => status !== 200),
    [],
  );
});

test('a path that is taken stays as it is, with a small object and with a large one', async (t) => {
  if (!needs(t, 'openssl')) return;
  const { store, up, partial } = await uploading(t);
  await store.put(PATH, Buffer.from('first'));
  for (const size of [5, 8 * MIB, PART + 1])
    await assert.rejects(upload(up, PATH, randomBytes(size)), { code: 'object-exists' }, String(size));
  assert.equal((await readWhole(store, PATH, 100)).toString(), 'first');
  // a path below an object, or above one
  await assert.rejects(upload(up, `${PATH}/b`, Buffer.from('x')), { code: 'store-failed' });
  await upload(up, 'data/00-meta/c/d', Buffer.from('x'));
  await assert.rejects(upload(up, 'data/00-meta/c', Buffer.from('x')), { code: 'object-exists' });
  await store.finish();
  await assert.rejects(readdir(partial), { code: 'ENOENT' });
});

test('a token is good for its bytes, its place and its time, and for nothing else', async (t) => {
  if (!needs(t, 'openssl')) return;
  const { store, partial, uploads, bytes: server, with: other } = await uploading(t);
  const body = Buffer.from('evidence');
  const { url, headers } = await uploads.grants.grantObject({ path: PATH, size: 8, sha256: hex(body) });
  assert.deepEqual(headers, { 'content-length': '8' });
  const token = new URL(url).searchParams.get('grant') ?? '';
  const put = async (given: string, sent: readonly Uint8Array[], length: number | undefined, to = uploads) => {
    async function* chunks(): AsyncGenerator<Uint8Array> {
      yield* sent;
    }
    const received = await to.receive?.(given, chunks(), length);
    return `${received?.status} ${/<Code>(\w+)/.exec(received?.body ?? '')?.[1] ?? ''}`.trim();
  };
  const [claim = '', mac = ''] = token.split('.');
  const forged = Buffer.from(claim, 'base64url').toString().replace('a.bin', 'b.bin');
  const elsewhere = store.uploads({ receiver: { ...server.receiver, url: `${server.receiver.url}2` } });
  const stranger = store.uploads({ receiver: { ...server.receiver, secret: randomBytes(32) } });
  const cases = [
    ['403 AccessDenied', () => put('', [body], 8)],
    ['403 AccessDenied', () => put(claim, [body], 8)],
    ['403 AccessDenied', () => put(`${claim}.${mac.slice(1)}`, [body], 8)],
    ['403 AccessDenied', () => put(`${claim}.${mac.startsWith('A') ? 'B' : 'A'}${mac.slice(1)}`, [body], 8)],
    ['403 AccessDenied', () => put(`${Buffer.from(forged).toString('base64url')}.${mac}`, [body], 8)],
    ['403 AccessDenied', () => put('x'.repeat(100_000), [body], 8)],
    ['403 AccessDenied', () => put(token, [body], 8, elsewhere)],
    ['403 AccessDenied', () => put(token, [body], 8, stranger)],
    ['411 MissingContentLength', () => put(token, [body], undefined)],
    ['400 InvalidRequest', () => put(token, [body], 9)],
    ['400 InvalidRequest', () => put(token, [body], Number.NaN)],
    ['400 InvalidRequest', () => put(token, [body, Buffer.from('!')], 8)],
    ['400 IncompleteBody', () => put(token, [body.subarray(1)], 8)],
    ['400 BadDigest', () => put(token, [Buffer.from('forgery!')], 8)],
  ] as const;
  for (const [index, [expected, work]] of cases.entries()) {
    assert.equal(await work(), expected, String(index));
    assert.equal(await store.size(PATH), undefined, String(index));
    assert.deepEqual(await readdir(partial).catch(() => []), [], String(index));
  }
  assert.equal(await put(token, [body.subarray(0, 3), body.subarray(3)], 8), '200');
  assert.equal(await put(token, [body], 8), '412 PreconditionFailed');

  const brief = store.uploads({ receiver: server.receiver, seconds: 1 });
  const path = 'data/00-meta/late.bin';
  const late = await brief.grants.grantObject({ path, size: 8, sha256: hex(body) });
  await sleep(1100);
  assert.equal(await put(new URL(late.url).searchParams.get('grant') ?? '', [body], 8), '403 RequestExpired');
  const sender = other({ grants: { ...uploads.grants, grantObject: async () => late } });
  await assert.rejects(upload(sender, path, body), { code: 'store-clock', message: /expired/ });
  const long = store.uploads({ receiver: server.receiver, seconds: 3600 });
  const { expires } = await long.grants.grantObject({ path, size: 8, sha256: hex(body) });
  assert.ok(Date.parse(expires) - Date.now() < 121_000);
});

test('the part that came first stands, whoever sends another of its number', async (t) => {
  if (!needs(t, 'openssl')) return;
  const { store, uploads, partial, bytes } = await uploading(t);
  const { grants, receive } = uploads;
  const put = async (body: Buffer, number: number, to: string, path = PATH): Promise<number | undefined> => {
    const part = { path, upload: to, number, size: body.length, sha256: hex(body) };
    const { url } = await grants.grantPart(part);
    async function* chunks(): AsyncGenerator<Uint8Array> {
      yield body;
    }
    return (await receive?.(new URL(url).searchParams.get('grant') ?? '', chunks(), body.length))?.status;
  };
  const id = await grants.beginUpload(PATH);
  const [one, two, other] = [randomBytes(300_000), randomBytes(1000), randomBytes(300_000)];
  const claims = [one, two].map((body) => ({ size: body.length, sha256: hex(body) }));
  const [first, second] = claims;
  assert.ok(first && second);
  const part = (number: number, claim: { size: number; sha256: string }) => ({
    path: PATH,
    upload: id,
    number,
    ...claim,
  });
  assert.equal(await grants.finishedPart(part(1, first)), false);
  assert.equal(await put(one, 1, id), 200);
  assert.equal(await put(one, 1, id), 200);
  assert.equal(await put(other, 1, id), 412);
  assert.equal(await grants.finishedPart(part(1, first)), true);
  assert.equal(await grants.finishedPart(part(1, second)), false);
  for (const [to, path] of [
    ['0'.repeat(32), PATH],
    ['../..', PATH],
    [id, 'data/00-meta/b.bin'],
  ] as const) {
    assert.equal(await put(two, 2, to, path), 404, to);
    await assert.rejects(grants.finishedPart({ ...part(2, second), upload: to, path }), { code: 'object-missing' });
    await assert.rejects(grants.completeUpload(path, to, claims), { code: 'object-missing' });
  }
  // another controller took over, and remembers nothing
  const later = store.uploads({ receiver: bytes.receiver }).grants;
  assert.equal(await later.finishedPart(part(1, first)), true);
  assert.equal(await later.finishedPart(part(1, { ...first, sha256: hex(other) })), false);

  const complete = (by: UploadGrants, list: readonly { size: number; sha256: string }[]) =>
    by.completeUpload(PATH, id, list);
  assert.equal(await put(two, 3, id), 200);
  await assert.rejects(complete(grants, [first, second, second]), {
    code: 'store-failed',
    message: /part 2 .* not stored/,
  });
  assert.equal(await put(two, 2, id), 200);
  const swapped = { ...first, sha256: hex(other) };
  for (const by of [grants, later]) {
    await assert.rejects(complete(by, [swapped, second, second]), { message: /part 1 .* is not the one/ });
    await assert.rejects(complete(by, [first, second]), { message: /part 3 .* is not the one/ });
  }
  assert.equal(await store.size(PATH), undefined);
  const all = [first, second, second];
  assert.deepEqual(await Promise.all([complete(grants, all), complete(grants, all)]), [{}, {}]);
  assert.deepEqual(await complete(later, all), {});
  assert.deepEqual(await readWhole(store, PATH, MIB), Buffer.concat([one, two, two]));
  await assert.rejects(complete(grants, [first, second]), { code: 'object-exists' });
  await assert.rejects(complete(later, [second, first, second]), { code: 'object-exists' });
  assert.deepEqual(await readdir(partial), []);
  assert.equal(await put(two, 4, id), 404);
});

test('only payload of a settled size and digest is granted, within the limits', async (t) => {
  const store = new DirectoryStore({ root: await temporaryFolder(t), partial: await temporaryFolder(t) });
  const receiver = { url: 'https://controller/bytes', secret: randomBytes(32) };
  const { grants } = store.uploads({ receiver, partBytes: 1000, parts: 3 });
  const good = { path: PATH, size: 8, sha256: hex(Buffer.from('evidence')) };
  const part = { ...good, upload: '0'.repeat(32), number: 1 };
  const refused = (work: Promise<unknown>) => assert.rejects(work, { code: 'grant-refused' });
  for (const path of [
    'custody/000001.dsse.json',
    'bagit.txt',
    'data/99-else/a',
    '../one/data/00-meta/a',
    'data/00-meta',
  ]) {
    await refused(grants.grantObject({ ...good, path }));
    await refused(grants.beginUpload(path));
    await refused(grants.finished({ ...good, path }));
    await refused(grants.finishedUpload(path, [good]));
    await refused(grants.finishedPart({ ...part, path }));
  }
  for (const size of [1001, -1, 1.5, Number.NaN]) await refused(grants.grantObject({ ...good, size }));
  for (const sha256 of ['', 'ab', good.sha256.toUpperCase()]) await refused(grants.grantPart({ ...part, sha256 }));
  for (const number of [0, 4, 1.5]) await refused(grants.grantPart({ ...part, number }));
  const long = `data/10-process/${'x'.repeat(100)}/${'y'.repeat(100)}`;
  await refused(grants.grantObject({ ...good, path: long }));
  await refused(grants.beginUpload(long));
  await refused(grants.completeUpload(PATH, part.upload, []));
  await refused(grants.completeUpload(PATH, part.upload, [good, good, good, good]));
  const weak = store.uploads({ receiver: { ...receiver, secret: Buffer.alloc(8) } });
  await assert.rejects(weak.grants.grantObject(good), /secret of 8 bytes/);
});

test('whoever holds every place is told to come again, and one who sends nothing holds none for ever', async (t) => {
  const store = new DirectoryStore({ root: await temporaryFolder(t), partial: await temporaryFolder(t) });
  const { grants, receive } = store.uploads({
    receiver: { url: 'https://controller/bytes', secret: randomBytes(32) },
  });
  const body = Buffer.from('evidence');
  const ended = new AbortController();
  async function* stalled(): AsyncGenerator<Uint8Array> {
    yield body.subarray(0, 4);
    await once(ended.signal, 'abort');
    throw new Error('aborted');
  }
  const put = async (path: string, chunks: AsyncIterable<Uint8Array>): Promise<number | undefined> => {
    const { url } = await grants.grantObject({ path, size: 8, sha256: hex(body) });
    return (await receive?.(new URL(url).searchParams.get('grant') ?? '', chunks, 8))?.status;
  };
  const holding = Array.from({ length: 32 }, (_, n) => put(`data/00-meta/${n}`, stalled()));
  await sleep(50);
  assert.equal(await put(PATH, stalled()), 503);
  ended.abort();
  assert.deepEqual(new Set(await Promise.all(holding)), new Set([400]));
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield body;
  }
  assert.equal(await put(PATH, whole()), 200);
  assert.equal((await Array.fromAsync(store.unfinished())).length, 0);
});

test('a disk that is full refuses what does not fit, keeps nothing of it, and still takes the chain', {
  skip: needsRoot,
}, async (t) => {
  const { store, partial, up } = await uploading(t, await smallDisk(t, 8));
  await store.prepare();
  const writer = await up.create('data/60-file/large.bin');
  await writer.write(randomBytes(9 * MIB));
  await assert.rejects(writer.commit(), { code: 'store-full' });
  assert.deepEqual(await readdir(partial), ['reserve']);
  await store.put('custody/000000.dsse.json', Buffer.from('the last entry fits'));
});
