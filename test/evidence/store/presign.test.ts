// What a granted URL binds its sender to, as a real server enforces it: everything else than these bytes is refused.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type OutgoingHttpHeaders, request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectRetentionCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { S3Bucket } from '../../../evidence/store/s3/bucket.ts';
import { s3Client } from '../../../evidence/store/s3/client.ts';
import { contiguousParts } from '../../../evidence/store/s3/listing.ts';
import { presign } from '../../../evidence/store/s3/presign.ts';
import { type BucketGrantsOptions, bucketGrants } from '../../../evidence/store/s3/presigned-grants.ts';
import type { Protection } from '../../../evidence/store/s3/protection.ts';
import { S3Store } from '../../../evidence/store/s3/store.ts';
import { readWhole } from '../../../evidence/store/store.ts';
import type { Grant, UploadGrants } from '../../../evidence/store/upload/grants.ts';
import { uploader } from '../../../evidence/store/upload.ts';
import { needs } from '../../helpers/component.ts';
import { type S3, S3_COMPONENTS, startS3 } from '../../testbed/s3.ts';

const MIB = 1024 ** 2;
const PATH = 'data/00-meta/a.bin';
const OTHER_PATH = 'data/00-meta/b.bin';
const LOCKED = { retention: { mode: 'COMPLIANCE', days: 1 }, legalHold: true } as const;

interface Granting {
  readonly s3: S3;
  readonly bucket: S3Bucket;
  readonly grants: UploadGrants;
}

async function granting(
  t: TestContext,
  limits: Partial<BucketGrantsOptions> = {},
  protection: Protection = LOCKED,
): Promise<Granting> {
  const s3 = await startS3(t);
  await s3.makeBucket({ name: 'evidence', objectLock: true });
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  const client = s3Client({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
  t.after(() => client.destroy());
  const bucket = new S3Bucket({ client, bucket: 'evidence', protection, patience: { milliseconds: 2000 } });
  return { s3, bucket, grants: bucketGrants({ bucket, prefix: 'one', ...limits }) };
}

const hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const claim = (bytes: Uint8Array, path = PATH) => ({ path, size: bytes.length, sha256: hex(bytes) });

interface Sending {
  readonly url?: string;
  /** Undefined takes one away. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: Uint8Array;
}

/** "403 SignatureDoesNotMatch", or the name of what broke the connection. */
async function answerTo(
  grant: Grant,
  bytes: Uint8Array,
  { url, headers, body = bytes }: Sending = {},
): Promise<string> {
  const kept = Object.entries({ ...grant.headers, ...headers }).filter(([, value]) => value !== undefined);
  const options = { method: 'PUT', headers: Object.fromEntries(kept) as OutgoingHttpHeaders, agent: false };
  const outgoing = request(url ?? grant.url, options);
  outgoing.on('error', () => undefined);
  outgoing.end(body);
  try {
    const [reply] = await once(outgoing, 'response');
    const text = Buffer.concat(await Array.fromAsync(reply as AsyncIterable<Buffer>)).toString();
    const code = /<Code>(\w+)/.exec(text)?.[1];
    return code === undefined ? String(reply.statusCode) : `${reply.statusCode} ${code}`;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

const without = (name: string): Sending => ({ headers: { [name]: undefined } });

/** Every way to use the grant of `bytes` wrongly, by its name, and what the server says to it. */
function abuses(grant: Grant, bytes: Uint8Array): readonly (readonly [string, Sending, string])[] {
  const wrong = Buffer.from(bytes);
  wrong[0] = (wrong[0] ?? 0) ^ 1;
  const unsigned = '403 SignatureDoesNotMatch';
  const length = (by: number) => ({ 'content-length': String(bytes.length + by) });
  const ownChecksum = { 'x-amz-checksum-sha256': createHash('sha256').update(wrong).digest('base64') };
  const bound = Object.keys(grant.headers).filter((name) => name !== 'content-length');
  return [
    ['another body', { body: wrong }, '400 BadDigest'],
    ['another body with its own checksum', { body: wrong, headers: ownChecksum }, unsigned],
    ['a byte less', { body: bytes.subarray(1), headers: length(-1) }, unsigned],
    ['a byte more', { body: Buffer.concat([bytes, Buffer.alloc(1)]), headers: length(1) }, unsigned],
    ['no length, chunked', { headers: { 'content-length': undefined, 'transfer-encoding': 'chunked' } }, unsigned],
    ['an unsigned header that counts', { headers: { 'x-amz-acl': 'public-read' } }, '403 AccessDenied'],
    ['another key', { url: grant.url.replace('a.bin', 'b.bin') }, unsigned],
    ['a longer life', { url: grant.url.replace('X-Amz-Expires=120', 'X-Amz-Expires=86400') }, unsigned],
    ...bound.map((name) => [`without ${name}`, without(name), unsigned] as const),
  ];
}

test('whatever is not what a URL was granted for is refused', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { bucket, grants } = await granting(t);
  const bytes = Buffer.from('evidence');
  const grant = await grants.grantObject(claim(bytes));
  const lock = (name: string, value: string): Sending => ({ headers: { [`x-amz-object-lock-${name}`]: value } });
  const all = [
    ...abuses(grant, bytes),
    ['a shorter retention', lock('retain-until-date', new Date().toISOString()), '403 SignatureDoesNotMatch'],
    ['a weaker retention', lock('mode', 'GOVERNANCE'), '403 SignatureDoesNotMatch'],
  ] as const;
  assert.equal(all.length, 15);
  for (const [name, sending, expected] of all) {
    assert.equal(await answerTo(grant, bytes, sending), expected, name);
    assert.equal(await bucket.head(`one/${PATH}`), undefined, name);
    assert.equal(await bucket.head(`one/${OTHER_PATH}`), undefined, name);
  }
  assert.equal(await answerTo(grant, bytes), '200');
});

test('a part is bound to its number, its upload and its bytes', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { bucket, grants } = await granting(t);
  const [first, second] = [randomBytes(1000), randomBytes(1000)];
  const upload = await grants.beginUpload(PATH);
  const grant = await grants.grantPart({ ...claim(first), upload, number: 1 });
  const stranger = await grants.beginUpload(OTHER_PATH);
  const elsewhere = (from: string, to: string): Sending => ({ url: grant.url.replace(from, to) });
  const all = [
    ...abuses(grant, first),
    ["another part's body", { body: second }, '400 BadDigest'],
    ['another number', elsewhere('partNumber=1', 'partNumber=2'), '403 SignatureDoesNotMatch'],
    ['another upload', elsewhere(upload, stranger), '403 SignatureDoesNotMatch'],
  ] as const;
  for (const [name, sending, expected] of all) {
    assert.equal(await answerTo(grant, first, sending), expected, name);
    assert.deepEqual(await contiguousParts(bucket, `one/${PATH}`, upload), [], name);
  }
  assert.equal(await answerTo(grant, first), '200');
  assert.equal(await grants.finishedPart({ ...claim(first), upload, number: 1 }), true);
  assert.equal(await grants.finishedPart({ ...claim(second), upload, number: 1 }), false);
  assert.equal(await grants.finishedPart({ ...claim(first), upload, number: 2 }), false);
});

test('a large body that is refused leaves nothing, whether the answer comes through or the connection breaks', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { bucket, grants } = await granting(t);
  const bytes = randomBytes(8 * MIB);
  const grant = await grants.grantObject(claim(bytes));
  const heard: Record<string, string> = {};
  for (const [name, sending, expected] of abuses(grant, bytes)) {
    const answer = await answerTo(grant, bytes, sending);
    heard[name] = answer;
    assert.ok([expected, 'ECONNRESET', 'EPIPE'].includes(answer), `${name}: ${answer}`);
    assert.equal(await bucket.head(`one/${PATH}`), undefined, name);
  }
  t.diagnostic(`${Object.values(heard).filter((answer) => answer.startsWith('E')).length} broken connections`);
});

test('a second PUT is refused, and what stands there is locked and is told by HEAD', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { s3, grants } = await granting(t);
  const [bytes, other] = [Buffer.from('evidence'), Buffer.from('forgery!')];
  const [grant, again] = [await grants.grantObject(claim(bytes)), await grants.grantObject(claim(other))];
  assert.equal(await grants.finished(claim(bytes)), undefined);
  assert.equal(await answerTo(grant, bytes), '200');
  const names = await grants.finished(claim(bytes));
  assert.ok(names?.versionId && names.etag);
  assert.deepEqual(await grants.finished(claim(bytes), names.versionId), names);
  assert.equal(await answerTo(grant, bytes), '412 PreconditionFailed');
  assert.equal(await answerTo(again, other), '412 PreconditionFailed');
  await assert.rejects(grants.finished(claim(other)), { code: 'object-exists' });
  const at = { Bucket: 'evidence', Key: `one/${PATH}` };
  const { Retention } = await s3.client.send(new GetObjectRetentionCommand(at));
  assert.equal(Retention?.Mode, 'COMPLIANCE');
  assert.equal((await s3.client.send(new HeadObjectCommand(at))).ObjectLockLegalHoldStatus, 'ON');
});

test('a URL dies after its seconds, 120 at most', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { bucket, grants } = await granting(t, { seconds: 1 });
  const bytes = Buffer.from('evidence');
  const grant = await grants.grantObject(claim(bytes));
  await sleep(2100);
  assert.equal(await answerTo(grant, bytes), '403 AccessDenied');
  const late = uploader({ grants: { ...grants, grantObject: async () => grant } });
  t.after(() => late.close());
  const writer = await late.create(PATH);
  await writer.write(bytes);
  await assert.rejects(writer.commit(), { code: 'store-clock', message: /expired/ });
  const long = bucketGrants({ bucket, prefix: 'one', seconds: 3600 });
  const begun = Date.now();
  const { url, expires } = await long.grantObject(claim(bytes));
  assert.equal(new URL(url).searchParams.get('X-Amz-Expires'), '120');
  assert.ok(Date.parse(expires) - begun < 121_000);
});

test('only payload of a settled size and digest is granted, within the limits', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { grants } = await granting(t, { partBytes: 1000, parts: 3 });
  const good = claim(Buffer.from('evidence'));
  const part = { ...good, upload: 'any', number: 1 };
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
  }
  for (const size of [1001, -1, 1.5, Number.NaN]) await refused(grants.grantObject({ ...good, size }));
  for (const sha256 of ['', 'ab', good.sha256.toUpperCase()]) await refused(grants.grantPart({ ...part, sha256 }));
  for (const number of [0, 4, 1.5]) await refused(grants.grantPart({ ...part, number }));
  await refused(grants.completeUpload(PATH, 'any', []));
  await refused(grants.completeUpload(PATH, 'any', [good, good, good, good]));
});

test('an upload is completed by all of its parts as they were named, and by nothing else', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { grants } = await granting(t);
  const upload = await grants.beginUpload(PATH);
  const bytes = [5 * MIB, 5 * MIB, 1000].map((size) => randomBytes(size));
  const send = async (index: number): Promise<void> => {
    const body = bytes[index] ?? Buffer.alloc(0);
    const grant = await grants.grantPart({ ...claim(body), upload, number: index + 1 });
    assert.equal(await answerTo(grant, body), '200');
  };
  const parts = bytes.map((body) => ({ size: body.length, sha256: hex(body) }));
  const [one, two] = parts;
  assert.ok(one && two);
  await send(0);
  await send(2);
  const complete = (list: typeof parts) => grants.completeUpload(PATH, upload, list);
  await assert.rejects(complete(parts), { code: 'store-failed', message: /part 2 .* was not stored/ });
  await send(1);
  await assert.rejects(complete([two, one, ...parts.slice(2)]), { message: /part 1 .* is not the one/ });
  await assert.rejects(complete([one, two]), { message: /part 3 .* is not the one/ });
  const names = await complete(parts);
  assert.ok(names.versionId);
  assert.deepEqual(await complete(parts), names);
  assert.deepEqual(await grants.finishedUpload(PATH, parts), names);
  assert.equal(await grants.finishedUpload(OTHER_PATH, parts), undefined);
  await assert.rejects(grants.finishedUpload(PATH, [one, two]), { code: 'object-exists' });
  await assert.rejects(complete([one, two]), { code: 'object-exists' });
});

test('of an orphaned upload only the parts before the first gap are kept', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { s3, grants } = await granting(t);
  const upload = await grants.beginUpload(PATH);
  const bytes = [5 * MIB, 5 * MIB, 0, 1000].map((size) => randomBytes(size));
  for (const [index, body] of bytes.entries()) {
    if (body.length === 0) continue;
    const grant = await grants.grantPart({ ...claim(body), upload, number: index + 1 });
    assert.equal(await answerTo(grant, body), '200');
  }
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  const credentials = { accessKeyId, secretAccessKey };
  const store = new S3Store({ bucket: 'evidence', prefix: 'one', endpoint, region, credentials });
  const [left] = await Array.fromAsync(store.unfinished());
  const published = await left?.publish();
  assert.deepEqual(
    published?.parts,
    bytes.slice(0, 2).map((body) => ({ size: body.length, sha256: hex(body) })),
  );
  const whole = await readWhole(store, PATH, 20 * MIB);
  assert.equal(hex(whole), hex(Buffer.concat(bytes.slice(0, 2))));
});

test('encryption by the store is signed with the rest', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const kmsKey = 'arn:aws:kms:eu-west-1:111122223333:key/one';
  const { bucket, grants } = await granting(t, {}, { kmsKey });
  const bytes = Buffer.from('evidence');
  const { url, headers } = await grants.grantObject(claim(bytes));
  const signed = new URL(url).searchParams.get('X-Amz-SignedHeaders')?.split(';') ?? [];
  for (const name of ['x-amz-server-side-encryption', 'x-amz-server-side-encryption-aws-kms-key-id'])
    assert.ok(signed.includes(name), name);
  assert.equal(headers['x-amz-server-side-encryption'], 'aws:kms');
  assert.equal(headers['x-amz-server-side-encryption-aws-kms-key-id'], kmsKey);
  const loose = new PutObjectCommand({ Bucket: 'evidence', Key: 'one', ContentLength: 1, ChecksumSHA256: 'x' });
  await assert.rejects(presign(bucket.client, loose, 60), /without if-none-match/);
});
