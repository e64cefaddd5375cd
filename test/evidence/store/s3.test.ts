// The S3 store on a real server with Object Lock and versions.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import {
  DeleteObjectCommand,
  GetObjectRetentionCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { S3Store, type S3StoreOptions } from '../../../evidence/store/s3/store.ts';
import { readWhole, type StoreEntry } from '../../../evidence/store/store.ts';
import { needs } from '../../helpers/component.ts';
import { startProxy } from '../../testbed/fault-proxy.ts';
import { type S3, S3_COMPONENTS, startS3 } from '../../testbed/s3.ts';

const MIB = 1024 ** 2;
const PATH = 'data/00-meta/a.bin';

async function lockedStore(t: TestContext, more: Partial<S3StoreOptions> = {}): Promise<{ s3: S3; store: S3Store }> {
  const s3 = await startS3(t);
  await s3.makeBucket({ name: 'evidence', objectLock: true });
  return { s3, store: storeOf(s3, more) };
}

function storeOf(s3: S3, more: Partial<S3StoreOptions> = {}): S3Store {
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  const credentials = { accessKeyId, secretAccessKey };
  return new S3Store({ bucket: 'evidence', prefix: 'store/one', endpoint, region, credentials, ...more });
}

const hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function listed(store: S3Store): Promise<readonly StoreEntry[]> {
  return Array.fromAsync(store.list());
}

test('a small object is put once, and says which version it is', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { store } = await lockedStore(t);
  const stored = await store.put(PATH, Buffer.from('first'));
  assert.equal(stored.sha256, hex(Buffer.from('first')));
  assert.ok(stored.versionId && stored.etag);
  await assert.rejects(store.put(PATH, Buffer.from('second')), { code: 'object-exists' });
  await assert.rejects(store.put(PATH, Buffer.from('first')), { code: 'object-exists' });
  assert.equal((await readWhole(store, PATH, 100)).toString(), 'first');
  assert.deepEqual(await listed(store), [{ path: PATH, kind: 'file', size: 5 }]);
});

test('what was put is looked at, but where the answer is believed and names its SHA-256', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { s3 } = await lockedStore(t);
  const proxy = await startProxy(t, s3.endpoint);
  const store = storeOf({ ...s3, endpoint: proxy.endpoint });
  const bytes = Buffer.from('once');
  const asked = async (path: string, believed?: 'believed'): Promise<readonly string[]> => {
    const before = proxy.seen.length;
    const stored = await store.put(path, bytes, believed);
    assert.deepEqual([stored.size, stored.sha256], [bytes.length, hex(bytes)]);
    assert.ok(stored.versionId && stored.etag);
    return proxy.seen.slice(before).map(({ method }) => method);
  };
  assert.deepEqual(await asked('data/00-meta/looked-at'), ['PUT', 'HEAD']);
  assert.deepEqual(await asked('data/00-meta/believed', 'believed'), ['PUT']);
  proxy.add({ method: 'PUT', fault: { kind: 'lose-response' } });
  const [first, ...more] = await asked('data/00-meta/lost', 'believed');
  assert.ok(first === 'PUT' && more.includes('HEAD'), 'an answer that was lost is asked for');
});

test('an object of no bytes, and one of a part and a byte', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { store } = await lockedStore(t);
  const empty = await (await store.create('data/00-meta/empty')).commit();
  assert.deepEqual([empty.size, empty.sha256], [0, hex(Buffer.alloc(0))]);
  const bytes = randomBytes(16 * MIB + 1);
  const writer = await store.create(PATH);
  for (let start = 0; start < bytes.length; start += MIB) await writer.write(bytes.subarray(start, start + MIB));
  const stored = await writer.commit();
  assert.equal(stored.sha256, hex(bytes));
  assert.deepEqual(stored.parts, [
    { size: 16 * MIB, sha256: hex(bytes.subarray(0, 16 * MIB)) },
    { size: 1, sha256: hex(bytes.subarray(16 * MIB)) },
  ]);
  assert.ok((await readWhole(store, PATH, 20 * MIB)).equals(bytes));
  const range = await Array.fromAsync(store.read(PATH, { start: 16 * MIB - 2, end: 16 * MIB + 1 }));
  assert.ok(Buffer.concat(range).equals(bytes.subarray(16 * MIB - 2)));
  const again = await store.create(PATH);
  await again.write(bytes);
  await assert.rejects(again.commit(), { code: 'object-exists' });
});

test('what is retained cannot be removed, and a newer version over it is passed by', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const retention = { mode: 'COMPLIANCE', days: 1 } as const;
  const { s3, store } = await lockedStore(t, { protection: { retention, legalHold: true } });
  await store.prepare();
  const { versionId } = await store.put(PATH, Buffer.from('first'));
  const at = { Bucket: 'evidence', Key: `store/one/${PATH}` };
  const { Retention } = await s3.client.send(new GetObjectRetentionCommand(at));
  assert.equal(Retention?.Mode, 'COMPLIANCE');
  assert.equal((await s3.client.send(new HeadObjectCommand(at))).ObjectLockLegalHoldStatus, 'ON');
  await assert.rejects(s3.client.send(new DeleteObjectCommand({ ...at, VersionId: versionId })), {
    name: 'AccessDenied',
  });
  await s3.client.send(new PutObjectCommand({ ...at, Body: 'forged' }));
  await s3.client.send(new DeleteObjectCommand(at));
  const later = storeOf(s3);
  assert.deepEqual(await listed(later), [{ path: PATH, kind: 'file', size: 5, later: 2 }]);
  assert.equal((await readWhole(later, PATH, 100)).toString(), 'first');
  assert.equal(Buffer.concat(await Array.fromAsync(storeOf(s3).read(PATH, { versionId }))).toString(), 'first');
});

test('a store that cannot be used says why, at once', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { s3 } = await lockedStore(t);
  await s3.makeBucket({ name: 'plain' });
  const protection = { retention: { mode: 'GOVERNANCE', days: 1 } } as const;
  const code = async (store: S3Store): Promise<unknown> => {
    const error = await store
      .prepare()
      .then(
        () => store.put(PATH, Buffer.from('x')),
        (cause: unknown) => Promise.reject(cause),
      )
      .catch((cause: unknown) => cause);
    return (error as { code?: string }).code;
  };
  assert.equal(await code(storeOf(s3, { bucket: 'plain', protection })), 'store-unlocked');
  assert.equal(await code(storeOf(s3, { bucket: 'nothere' })), 'store-missing');
  const stranger = { accessKeyId: 'nobody', secretAccessKey: 'nothing' };
  assert.equal(await code(storeOf(s3, { credentials: stranger })), 'store-credentials');
  assert.equal(await code(storeOf(s3, { credentials: s3.user })), 'store-denied');
  const patience = { milliseconds: 300 };
  assert.equal(await code(storeOf(s3, { endpoint: 'http://127.0.0.1:9', patience })), 'store-unreachable');
});

test('an upload that was left is completed by its contiguous parts', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { s3, store } = await lockedStore(t);
  const bytes = randomBytes(33 * MIB);
  const writer = await store.create(PATH);
  await writer.write(bytes);
  await writer.abandon();
  const later = storeOf(s3);
  const [left, ...more] = await Array.fromAsync(later.unfinished());
  assert.deepEqual([left?.path, more.length], [PATH, 0]);
  const { parts } = (await left?.publish()) ?? {};
  assert.deepEqual(
    parts?.map(({ size }) => size),
    [16 * MIB, 16 * MIB],
  );
  assert.ok((await readWhole(later, PATH, 40 * MIB)).equals(bytes.subarray(0, 32 * MIB)));
  assert.deepEqual(await Array.fromAsync(later.unfinished()), []);
});
