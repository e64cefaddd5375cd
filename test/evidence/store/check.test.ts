// What is tried on a store before evidence is trusted to it, on real servers and real file systems.
import assert from 'node:assert/strict';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { HeadObjectCommand, ListMultipartUploadsCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import type { CheckResult, StoreCheck } from '../../../evidence/store/check.ts';
import { checkDirectory } from '../../../evidence/store/check-directory.ts';
import { checkS3 } from '../../../evidence/store/s3/check.ts';
import type { ProbeOptions } from '../../../evidence/store/s3/check-probe.ts';
import type { Protection } from '../../../evidence/store/s3/protection.ts';
import { needs } from '../../helpers/component.ts';
import { needsRoot, smallDisk } from '../../helpers/small-disk.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';
import { startProxy } from '../../testbed/fault-proxy.ts';
import { MOTO_COMPONENTS, startMoto } from '../../testbed/moto.ts';
import { makeBucket, type S3, S3_COMPONENTS, startS3 } from '../../testbed/s3.ts';

const MINUTE = 60_000;
const LOCKED: Protection = { retention: { mode: 'COMPLIANCE', days: 90 }, legalHold: true };

function optionsFor(s3: S3, more: Partial<ProbeOptions> = {}): ProbeOptions {
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  return { bucket: 'evidence', prefix: 'ir', endpoint, region, credentials: { accessKeyId, secretAccessKey }, ...more };
}

async function lockedBucket(t: TestContext): Promise<S3> {
  const s3 = await startS3(t);
  await s3.makeBucket({ name: 'evidence', objectLock: true });
  return s3;
}

function outcomes({ checks }: StoreCheck, outcome: CheckResult['outcome']): readonly string[] {
  return checks.filter((check) => check.outcome === outcome).map(({ name }) => name);
}

function named({ checks }: StoreCheck, name: string): CheckResult {
  const found = checks.find((check) => check.name === name);
  assert.ok(found, name);
  return found;
}

test('a bucket with Object Lock has all that evidence needs, and keeps no lock for longer than minutes', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await lockedBucket(t);
  const checked = await checkS3(optionsFor(s3, { protection: LOCKED }));
  assert.deepEqual(
    checked.checks.filter(({ outcome }) => outcome !== 'ok'),
    [],
  );
  assert.equal(checked.verdict, 'suitable');
  assert.match(named(checked, 'the lock holds').seen, /^removal refused: .*object lock/);
  const { Versions = [] } = await s3.client.send(new ListObjectVersionsCommand({ Bucket: 'evidence' }));
  assert.equal(Versions.length, 2);
  for (const { Key, Size } of Versions) {
    assert.match(Key ?? '', /^ir\/\.impound-check\/[0-9a-f]{32}\/(?:object|parts)$/);
    assert.ok((Size ?? 0) < 200);
    const head = await s3.client.send(new HeadObjectCommand({ Bucket: 'evidence', Key }));
    assert.equal(head.ObjectLockLegalHoldStatus, undefined);
    const locked = (head.ObjectLockRetainUntilDate?.getTime() ?? 0) - Date.now();
    assert.ok(locked > 0 && locked <= 2 * MINUTE, `${locked}`);
  }
  const { Uploads = [] } = await s3.client.send(new ListMultipartUploadsCommand({ Bucket: 'evidence' }));
  assert.equal(Uploads.length, 3);
  assert.match(checked.left.join(), /^2 objects .* and 3 unfinished uploads below s3:\/\/evidence\/ir\/.*2 minutes$/);
});

test('what a bucket locks by itself is told, and what it does not', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await startS3(t);
  await s3.makeBucket({ name: 'evidence', objectLock: { mode: 'GOVERNANCE', days: 7 } });
  const checked = await checkS3(optionsFor(s3));
  assert.equal(named(checked, 'Object Lock').seen, 'on; by default GOVERNANCE for 7 days');
  assert.match(checked.left.join(), /default, GOVERNANCE for 7 days$/);
  await s3.makeBucket({ name: 'bare', objectLock: true });
  const bare = await checkS3(optionsFor(s3, { bucket: 'bare' }));
  assert.deepEqual([bare.verdict, outcomes(bare, 'warning')], ['suitable', ['Object Lock']]);
});

test('a bucket without Object Lock is refused where locks are asked for, and warned of where not', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await startS3(t);
  await s3.makeBucket({ name: 'evidence' });
  const checked = await checkS3(optionsFor(s3, { protection: LOCKED }));
  assert.deepEqual([checked.verdict, checked.refusal?.code], ['unsuitable', 'store-unsuitable']);
  assert.deepEqual(outcomes(checked, 'failed'), ['Object Lock']);
  assert.match(named(checked, 'Object Lock').remedy ?? '', /turn Object Lock on .* or leave --retain/);
  assert.match(checked.refusal?.message ?? '', /^s3:\/\/evidence\/ir cannot take evidence as it is: Object Lock$/);
  const open = await checkS3(optionsFor(s3));
  assert.deepEqual([open.verdict, outcomes(open, 'failed')], ['suitable', []]);
  assert.deepEqual(outcomes(open, 'warning'), ['Object Lock', 'versions']);
});

/** Each permission, and the check that names it when it is the one that is missing. */
const PERMISSIONS = [
  ['ListBucket', 'list objects'],
  ['PutObject', 'write'],
  ['GetObject', 'read'],
  ['GetObjectVersion', 'read a version'],
  ['ListBucketVersions', 'list versions'],
  ['ListBucketMultipartUploads', 'list uploads'],
  ['ListMultipartUploadParts', 'list parts'],
  ['GetBucketObjectLockConfiguration', 'Object Lock'],
  ['PutObjectRetention', 'retention'],
  ['PutObjectLegalHold', 'legal hold'],
] as const;

test('each permission that is missing is named, and what can be had without it is tried', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await lockedBucket(t);
  const asUser = optionsFor(s3, { credentials: s3.user, protection: LOCKED });
  const all = PERMISSIONS.map(([name]) => `s3:${name}`);
  await s3.allow('evidence', all);
  const whole = await checkS3(asUser);
  assert.deepEqual([whole.verdict, outcomes(whole, 'failed')], ['suitable', []]);
  await s3.allow('evidence', ['s3:ListBucket', 's3:PutObject', 's3:GetObject']);
  const poor = await checkS3(asUser);
  const lacking = PERMISSIONS.slice(3).map(([, check]) => check);
  assert.deepEqual(outcomes(poor, 'failed').toSorted(), lacking.toSorted());
  for (const [permission, check] of PERMISSIONS) {
    await t.test(permission, async () => {
      await s3.allow(
        'evidence',
        all.filter((name) => name !== `s3:${permission}`),
      );
      const checked = await checkS3(asUser);
      assert.equal(checked.verdict, 'unsuitable');
      assert.deepEqual(outcomes(checked, 'failed').slice(0, 1), [check]);
      const { seen, remedy = '' } = named(checked, check);
      assert.ok(seen.startsWith(`s3:${permission} is denied`), seen);
      assert.match(remedy, new RegExp(`^allow this identity s3:${permission} on the (?:bucket|objects) evidence`));
    });
  }
});

test('a store that takes a wrong SHA-256 is refused', async (t) => {
  if (!needs(t, ...MOTO_COMPONENTS, ...S3_COMPONENTS)) return;
  const s3 = await startS3(t);
  const { endpoint } = await startMoto(t);
  await makeBucket(s3.clientOf({ endpoint }), { name: 'evidence', objectLock: true });
  const checked = await checkS3(optionsFor(s3, { endpoint }));
  assert.deepEqual([checked.verdict, checked.refusal?.code], ['unsuitable', 'store-unsuitable']);
  for (const name of ['wrong bytes', 'wrong part']) {
    assert.equal(named(checked, name).outcome, 'failed');
    assert.match(named(checked, name).seen, /taken: bytes that change on their way would pass for evidence/);
    assert.match(named(checked, name).remedy ?? '', /take another store/);
  }
  assert.match(checked.refusal?.message ?? '', /cannot take evidence as it is: .*wrong bytes.*wrong part/);
});

test('a clock that is off is told by how much, and fails where the store refuses it', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await lockedBucket(t);
  const at = (minutes: number): Promise<StoreCheck> =>
    checkS3(optionsFor(s3, { protection: LOCKED, clock: () => Date.now() + minutes * MINUTE }));
  const far = await at(20);
  assert.deepEqual([far.verdict, outcomes(far, 'failed')], ['unsuitable', ['clock']]);
  assert.match(named(far, 'clock').seen, /^20 minutes \((?:1199|120[01]) s\) ahead of the store's, which it refuses$/);
  assert.match(named(far, 'clock').remedy ?? '', /set this machine's clock/);
  assert.deepEqual(far.left, []);
  const near = await at(-3);
  assert.deepEqual([near.verdict, outcomes(near, 'warning')], ['suitable', ['clock']]);
  assert.match(named(near, 'clock').seen, /^3 minutes \(\d+ s\) behind the store's$/);
  assert.equal(named(near, 'the lock holds').outcome, 'ok');
});

test('wrong credentials, a wrong region and a bucket that is not there are each told as what they are', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await lockedBucket(t);
  const failing = async (more: Partial<ProbeOptions>): Promise<readonly string[]> => {
    const checked = await checkS3(optionsFor(s3, more));
    assert.equal(checked.verdict, 'unsuitable');
    assert.deepEqual(checked.left, []);
    return outcomes(checked, 'failed');
  };
  const { accessKeyId } = s3;
  assert.deepEqual(await failing({ credentials: { accessKeyId, secretAccessKey: 'wrong' } }), ['identity']);
  assert.deepEqual(await failing({ credentials: { accessKeyId: 'nobody', secretAccessKey: 'x' } }), ['identity']);
  assert.deepEqual(await failing({ region: 'eu-central-1' }), ['region']);
  assert.deepEqual(await failing({ bucket: 'nothere' }), ['bucket']);
});

test('a store that does not answer could not be checked', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await lockedBucket(t);
  const patience = { milliseconds: 300 };
  for (const endpoint of ['http://127.0.0.1:9', 'http://nowhere.invalid']) {
    const checked = await checkS3(optionsFor(s3, { endpoint, patience }));
    assert.deepEqual([checked.verdict, checked.refusal?.code], ['could not be checked', 'store-unreachable']);
    assert.deepEqual(outcomes(checked, 'failed'), ['reachable']);
  }
  const proxy = await startProxy(t, s3.endpoint);
  proxy.add({ method: 'PUT', nth: 2, times: 1000, fault: { kind: 'cut-request', bytes: 0 } });
  const broken = await checkS3(optionsFor(s3, { endpoint: proxy.endpoint, patience }));
  assert.equal(broken.verdict, 'could not be checked');
  assert.match(broken.left.join(), /^1 object /);
});

test('a bucket whose policy takes no short lock is still tried, and its lock is not called proven', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await lockedBucket(t);
  const proxy = await startProxy(t, s3.endpoint);
  // the first PutObject of a locked object, as a policy on its remaining days refuses it
  proxy.add({ method: 'PUT', target: /\/object/, fault: { kind: 'answer', status: 403, code: 'AccessDenied' } });
  const checked = await checkS3(optionsFor(s3, { endpoint: proxy.endpoint, protection: LOCKED }));
  assert.deepEqual([checked.verdict, outcomes(checked, 'skipped')], ['suitable', ['the lock holds']]);
  assert.match(named(checked, 'the lock holds').seen, /^not tried: no lock of minutes is taken here/);
});

test('encryption that the store does not show is not called done', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await lockedBucket(t);
  const checked = await checkS3(optionsFor(s3, { protection: { kmsKey: 'alias/evidence' } }));
  assert.deepEqual(outcomes(checked, 'failed'), ['KMS encryption']);
});

test('a directory has hard links and room, and nothing stays in it', { skip: needsRoot }, async (t) => {
  const disk = await smallDisk(t, 2);
  const checked = await checkDirectory({ folder: join(disk, 'a/b'), enough: 1024 });
  assert.deepEqual([checked.verdict, outcomes(checked, 'ok').length], ['suitable', checked.checks.length]);
  assert.deepEqual(await readdir(disk), []);
  const tight = await checkDirectory({ folder: disk, enough: 1024 ** 3 });
  assert.deepEqual([tight.verdict, outcomes(tight, 'warning')], ['suitable', ['free space']]);
  assert.deepEqual(await readdir(disk), []);
});

test("a directory on the machine's own disk is warned of, a file is refused", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'store'));
  const own = await checkDirectory({ folder: join(folder, 'store'), root: folder, enough: 1 });
  assert.deepEqual([own.verdict, outcomes(own, 'warning')], ['suitable', ['another disk']]);
  await writeFile(join(folder, 'file'), '');
  const file = await checkDirectory({ folder: join(folder, 'file') });
  assert.deepEqual([file.verdict, outcomes(file, 'failed')], ['unsuitable', ['folder']]);
  assert.match(named(file, 'folder').remedy ?? '', /name a folder/);
  assert.deepEqual((await readdir(folder)).toSorted(), ['file', 'store']);
});
