import { test } from 'node:test';
import { createHash } from 'node:crypto';
import { startS3 } from '../../testbed/s3.ts';
import { startMoto } from '../../testbed/moto.ts';
import { Bucket, base64Of } from '../../../evidence/store/s3/bucket.ts';
import { s3Client } from '../../../evidence/store/s3/client.ts';
import { causeOf } from '../../../evidence/store/s3/error.ts';
import { DeleteObjectCommand, HeadObjectCommand, ListObjectsV2Command, S3Client, CreateBucketCommand } from '@aws-sdk/client-s3';

const sum = (b: Uint8Array) => createHash('sha256').update(b).digest('base64');
const show = async (what: string, p: Promise<unknown>) => {
  try { const v: any = await p; if (v?.$metadata) v.$metadata = v.$metadata.httpStatusCode; console.log(what, 'OK', JSON.stringify(v)); return v; }
  catch (e: any) { const c: any = causeOf(e); console.log(what, 'ERR', e.code, '|', c?.name, c?.$metadata?.httpStatusCode, c?.message, '|', e.message); }
};
test('x', async (t) => {
  const s3 = await startS3(t);
  await s3.makeBucket({ name: 'lock', objectLock: true });
  await s3.makeBucket({ name: 'plain' });
  for (const [n, cred] of [['root', s3], ['user', s3.user]] as const) for (const name of ['lock', 'plain']) {
    console.log('=====', n, name);
    if (n === 'user') await s3.allow(name, ['s3:ListBucket', 's3:PutObject', 's3:GetObject', 's3:DeleteObjectVersion','s3:DeleteObject', 's3:PutObjectRetention']);
    const client = s3Client({ endpoint: s3.endpoint, region: 'us-east-1', credentials: { accessKeyId: cred.accessKeyId, secretAccessKey: cred.secretAccessKey } });
    const raw = s3Client({ endpoint: s3.endpoint, region: 'us-east-1', credentials: { accessKeyId: cred.accessKeyId, secretAccessKey: cred.secretAccessKey } });
    raw.middlewareStack.remove('knownPayloadHash');
    await run(n, name, client, raw);
  }
  const bad = s3Client({ endpoint: s3.endpoint, region: 'us-east-1', credentials: { accessKeyId: 'nobody', secretAccessKey: 'x' } });
  await show('bad key', bad.send(new ListObjectsV2Command({ Bucket: 'lock' })));
  const bad2 = s3Client({ endpoint: s3.endpoint, region: 'us-east-1', credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: 'x' } });
  await show('bad secret', bad2.send(new ListObjectsV2Command({ Bucket: 'lock' })));
  const bad3 = s3Client({ endpoint: s3.endpoint, region: 'eu-west-1', credentials: s3 });
  await show('bad region', bad3.send(new ListObjectsV2Command({ Bucket: 'lock' })));
  const late = s3Client({ endpoint: s3.endpoint, region: 'us-east-1', credentials: s3 });
  late.config.systemClockOffset = 20 * 60_000;
  await show('late', late.send(new ListObjectsV2Command({ Bucket: 'lock' })));
  console.log(late.config.systemClockOffset);
});
test('moto', async (t) => {
  const moto = await startMoto(t);
  const cred = { accessKeyId: 'a', secretAccessKey: 'b' };
  const client = s3Client({ endpoint: moto.endpoint, region: 'us-east-1', credentials: cred });
  const raw = s3Client({ endpoint: moto.endpoint, region: 'us-east-1', credentials: cred });
  raw.middlewareStack.remove('knownPayloadHash');
  await client.send(new CreateBucketCommand({ Bucket: 'lock', ObjectLockEnabledForBucket: true }));
  await run('moto', 'lock', client, raw);
});
async function run(n: string, name: string, client: S3Client, raw: S3Client) {
    const patience = { milliseconds: 0 };
    client.middlewareStack.add((next) => async (args) => { const r: any = await next(args); console.log('   date', r.response.headers.date, r.response.headers['x-amz-bucket-region'], r.response.statusCode); return r; }, { step: 'deserialize', priority: 'low', name: 'dates' });
    await show('list', client.send(new ListObjectsV2Command({ Bucket: name, MaxKeys: 1, Prefix: 'p/' })));
    const brief = new Bucket({ client, bucket: name, patience, protection: { retention: { mode: 'COMPLIANCE', days: 120 / 86400 } } });
    const plain = new Bucket({ client, bucket: name, patience });
    const asked = new Bucket({ client, bucket: name, patience, protection: { retention: { mode: 'COMPLIANCE', days: 90 }, legalHold: true } });
    const wrong = new Bucket({ client: raw, bucket: name, patience });
    const kms = new Bucket({ client, bucket: name, patience, protection: { kmsKey: 'abc' } });
    const bytes = Buffer.from('probe'); const other = Buffer.from('other');
    const no = () => {};
    const put: any = await show('put brief', brief.put(`${n}/o`, { bytes, checksum: sum(bytes) }, no));
    await show('put plain', plain.put(`${n}/o`, { bytes, checksum: sum(bytes) }, no));
    await show('put twice', plain.put(`${n}/o`, { bytes: other, checksum: sum(other) }, no));
    await show('put asked', asked.put(`${n}/o`, { bytes: other, checksum: sum(other) }, no));
    await show('put kms', kms.put(`${n}/k`, { bytes: other, checksum: sum(other) }, no));
    await show('wrong known', plain.put(`${n}/w`, { bytes: other, checksum: sum(bytes) }, no));
    await show('wrong', wrong.put(`${n}/w2`, { bytes: other, checksum: sum(bytes) }, no));
    await show('head', plain.head(`${n}/o`));
    await show('head v', client.send(new HeadObjectCommand({ Bucket: name, Key: `${n}/o`, VersionId: put?.versionId, ChecksumMode: 'ENABLED' })));
    await show('get', plain.get(`${n}/o`, { start: 0 }));
    await show('get v', plain.get(`${n}/o`, { start: 0 }, put?.versionId));
    await show('versions', Array.fromAsync(plain.versions(n)));
    const up = await show('create', brief.createUpload(`${n}/m`)) ?? await show('create', plain.createUpload(`${n}/m`));
    await show('create asked', asked.createUpload(`${n}/m`));
    if (up !== undefined) {
      await show('part wrong', wrong.uploadPart(`${n}/m`, up, 1, { bytes, checksum: sum(other) }));
      const etag = await show('part', plain.uploadPart(`${n}/m`, up, 1, { bytes, checksum: sum(bytes) }));
      await show('parts', plain.contiguousParts(`${n}/m`, up));
      await show('uploads', Array.fromAsync(plain.uploads(n)));
      const part = { number: 1, etag, size: 5, sha256: Buffer.from(sum(bytes), 'base64').toString('hex') };
      await show('complete', plain.completeUpload(`${n}/m`, up, [part], no));
      await show('head m', plain.head(`${n}/m`));
      const up2 = await show('create2', plain.createUpload(`${n}/m`));
      const etag2 = await show('part2', plain.uploadPart(`${n}/m`, up2, 1, { bytes, checksum: sum(bytes) }));
      await show('complete2', plain.completeUpload(`${n}/m`, up2, [{ ...part, etag: etag2 }], no));
      await show('uploads', Array.fromAsync(plain.uploads(n)));
    }
    await show('lock', plain.isLockable());
    await show('del', client.send(new DeleteObjectCommand({ Bucket: name, Key: `${n}/o`, VersionId: put?.versionId })));
}
