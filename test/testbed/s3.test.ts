import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { needs } from '../helpers/component.ts';
import { startProxy } from './fault-proxy.ts';
import { S3_COMPONENTS, startS3 } from './s3.ts';

const Bucket = 'evidence';
const DENIED = { name: 'AccessDenied' };

const put = (Key: string, more = {}) => new PutObjectCommand({ Bucket, Key, Body: 'x', ...more });

test('a bucket with Object Lock keeps its versions', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await startS3(t);
  await s3.makeBucket({ name: Bucket, objectLock: { mode: 'COMPLIANCE', days: 1 } });
  const lock = await s3.client.send(new GetObjectLockConfigurationCommand({ Bucket }));
  assert.deepEqual(lock.ObjectLockConfiguration?.Rule?.DefaultRetention, { Mode: 'COMPLIANCE', Days: 1 });
  const { VersionId } = await s3.client.send(put('key'));
  await assert.rejects(s3.client.send(new DeleteObjectCommand({ Bucket, Key: 'key', VersionId })), DENIED);
  await s3.client.send(put('key', { Body: 'y' }));
  const first = await s3.client.send(new GetObjectCommand({ Bucket, Key: 'key', VersionId }));
  assert.equal(await first.Body?.transformToString(), 'x');
});

test('a bucket has versions only where asked for, and its objects are files', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await startS3(t);
  await s3.makeBucket({ name: Bucket });
  await s3.makeBucket({ name: 'versions', versioning: true });
  const status = async (name: string) =>
    (await s3.client.send(new GetBucketVersioningCommand({ Bucket: name }))).Status;
  assert.deepEqual([await status(Bucket), await status('versions')], [undefined, 'Enabled']);
  await s3.client.send(put('folder/key'));
  assert.equal(await readFile(join(s3.root, Bucket, 'folder/key'), 'utf8'), 'x');
});

test('the second account may what the policy allows', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await startS3(t);
  const client = s3.clientOf({ credentials: s3.user });
  await s3.makeBucket({ name: Bucket });
  await assert.rejects(client.send(put('key')), DENIED);
  await s3.allow(Bucket, ['s3:PutObject']);
  await client.send(put('key'));
  await assert.rejects(client.send(new ListObjectsV2Command({ Bucket })), DENIED);
});

test('of a read-only server nobody gets a write', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await startS3(t, { readonly: true });
  await assert.rejects(s3.client.send(new CreateBucketCommand({ Bucket })), DENIED);
  assert.deepEqual((await s3.client.send(new ListBucketsCommand({}))).Buckets, []);
});

test('a client signs for the proxy, and a lost answer shows as an object that is there already', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await startS3(t);
  await s3.makeBucket({ name: Bucket });
  const proxy = await startProxy(t, s3.endpoint);
  const client = s3.clientOf({ endpoint: proxy.endpoint });
  proxy.add({ method: 'PUT', fault: { kind: 'lose-response' } });
  await assert.rejects(client.send(put('key', { IfNoneMatch: '*' })), { name: 'PreconditionFailed' });
  assert.deepEqual(
    proxy.seen.map(({ method, status }) => [method, status]),
    [
      ['PUT', 200],
      ['PUT', 412],
    ],
  );
});

test('servers do not know each other, and leave nothing', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const scope = endOf(t);
  const [one, other] = await Promise.all([startS3(scope), startS3(scope)]);
  await one.makeBucket({ name: Bucket });
  assert.deepEqual((await other.client.send(new ListBucketsCommand({}))).Buckets, []);
  assert.notEqual(one.secretAccessKey, other.secretAccessKey);
  await scope.end();
  assert.throws(() => process.kill(one.pid, 0), { code: 'ESRCH' });
  assert.ok(!existsSync(dirname(one.root)));
});

/** Stands for a test that ends before this one does. */
function endOf(t: TestContext) {
  const stops: (() => Promise<void>)[] = [];
  const end = async (): Promise<void> => {
    for (const stop of stops) await stop();
  };
  t.after(end);
  return { after: (stop: () => Promise<void>) => void stops.push(stop), end };
}
