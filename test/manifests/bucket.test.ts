// The bucket's template: what it makes, and what its policy refuses to everybody, an administrator included.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { needs } from '../helpers/component.ts';
import { decide, type Policy, type Request } from './policy.ts';
import { property, resources, TEMPLATE_COMPONENTS } from './template.ts';

const KEY = 'arn:aws:kms:eu-central-1:111122223333:key/0';
const OBJECT = 'arn:of:EvidenceBucket/local/no-case/0/data/a';
/** Somebody who may everything, but for what the bucket's policy refuses. */
const ADMINISTRATOR: Policy = { Statement: [{ Sid: 'All', Effect: 'Allow', Action: '*', Resource: '*' }] };

const TLS = { 'aws:SecureTransport': 'true', 's3:TlsVersion': '1.3' };
const ONCE = { ...TLS, 's3:if-none-match': '*', 's3:ObjectCreationOperation': 'true' };
const PART = { ...TLS, 's3:ObjectCreationOperation': 'false' };
const ENCRYPTION = 's3:x-amz-server-side-encryption';
const KMS = { [ENCRYPTION]: 'aws:kms', [`${ENCRYPTION}-aws-kms-key-id`]: KEY };
const DEFAULT_ENCRYPTION = 'BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault';
const MODE = 's3:object-lock-mode';
const DAYS = 's3:object-lock-remaining-retention-days';

async function policyOf(parameters: Readonly<Record<string, unknown>> = {}): Promise<Policy> {
  const { EvidenceBucketPolicy } = await resources('evidence-bucket', { EncryptionKeyArn: KEY, ...parameters });
  return property(EvidenceBucketPolicy, 'PolicyDocument') as Policy;
}

function put(context: Readonly<Record<string, string>>): Request {
  return { action: 's3:PutObject', resource: OBJECT, context };
}

test('the bucket locks, keeps versions, encrypts with its key, and expires nothing', async (t) => {
  if (!needs(t, ...TEMPLATE_COMPONENTS)) return;
  const { EvidenceBucket: bucket, EncryptionKey: key } = await resources('evidence-bucket');
  assert.deepEqual([bucket?.DeletionPolicy, bucket?.UpdateReplacePolicy], ['Retain', 'Retain']);
  assert.deepEqual([key?.DeletionPolicy, key?.UpdateReplacePolicy], ['Retain', 'Retain']);
  const of = (path: string): unknown => property(bucket, path);
  assert.equal(of('ObjectLockEnabled'), true);
  assert.deepEqual(of('ObjectLockConfiguration.Rule.DefaultRetention'), { Mode: 'COMPLIANCE', Days: 365 });
  assert.equal(of('VersioningConfiguration.Status'), 'Enabled');
  assert.deepEqual(of(DEFAULT_ENCRYPTION), { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: 'arn:of:EncryptionKey' });
  assert.deepEqual(Object.values(of('PublicAccessBlockConfiguration') as object), [true, true, true, true]);
  assert.deepEqual(of('OwnershipControls.Rules'), [{ ObjectOwnership: 'BucketOwnerEnforced' }]);
  assert.deepEqual(of('LifecycleConfiguration.Rules'), [
    { Id: 'AbortForgottenUploads', Status: 'Enabled', AbortIncompleteMultipartUpload: { DaysAfterInitiation: 30 } },
  ]);
  assert.equal(of('LoggingConfiguration'), undefined);
  assert.equal(of('BucketName'), undefined);
});

test('a name, a mode, a time, a key and a place for access logs can be given', async (t) => {
  if (!needs(t, ...TEMPLATE_COMPONENTS)) return;
  const made = await resources('evidence-bucket', {
    BucketName: 'evidence',
    RetentionMode: 'GOVERNANCE',
    RetentionDays: 7,
    EncryptionKeyArn: KEY,
    AccessLogBucket: 'logs',
  });
  assert.deepEqual(Object.keys(made), ['EvidenceBucket', 'EvidenceBucketPolicy']);
  const of = (path: string): unknown => property(made.EvidenceBucket, path);
  assert.equal(of('BucketName'), 'evidence');
  assert.deepEqual(of('ObjectLockConfiguration.Rule.DefaultRetention'), { Mode: 'GOVERNANCE', Days: 7 });
  assert.equal(of(`${DEFAULT_ENCRYPTION}.KMSMasterKeyID`), KEY);
  assert.equal(of('LoggingConfiguration.DestinationBucketName'), 'logs');
});

test('what a capture writes is not refused', async (t) => {
  if (!needs(t, ...TEMPLATE_COMPONENTS)) return;
  const policies = [ADMINISTRATOR, await policyOf()];
  const retention = { [MODE]: 'COMPLIANCE', [DAYS]: '30' };
  for (const context of [
    ONCE,
    PART,
    { ...ONCE, ...KMS },
    { ...PART, ...KMS },
    { ...ONCE, ...KMS, ...retention, 's3:object-lock-legal-hold': 'ON' },
  ]) {
    assert.deepEqual(decide(policies, put(context)), { allowed: true, refusing: [] });
  }
  const governance = [ADMINISTRATOR, await policyOf({ RetentionMode: 'GOVERNANCE' })];
  for (const mode of ['GOVERNANCE', 'COMPLIANCE']) {
    assert.equal(decide(governance, put({ ...ONCE, [MODE]: mode, [DAYS]: '30' })).allowed, true);
  }
});

test('whatever would change, hide, unlock or expose evidence is refused to everybody, each by its own statement', async (t) => {
  if (!needs(t, ...TEMPLATE_COMPONENTS)) return;
  const policy = await policyOf();
  const { 's3:if-none-match': _, ...again } = ONCE;
  const on = (action: string): Request => ({ action, resource: OBJECT, context: TLS });
  const refused: readonly (readonly [string, Request])[] = [
    ['OnlyOverTls', put({ ...ONCE, 'aws:SecureTransport': 'false' })],
    [
      'OnlyOverTls',
      { action: 's3:ListBucket', resource: 'arn:of:EvidenceBucket', context: { 'aws:SecureTransport': 'false' } },
    ],
    ['OnlyOverTls12', put({ ...ONCE, 's3:TlsVersion': '1.1' })],
    ['WrittenOnce', put(again)],
    ['WrittenOnce', put({ ...again, 's3:if-match': 'etag' })],
    ['NeitherHiddenNorAborted', on('s3:DeleteObject')],
    ['NeitherHiddenNorAborted', on('s3:AbortMultipartUpload')],
    ['NobodyBypassesTheLock', on('s3:BypassGovernanceRetention')],
    ['NoShorterLock', put({ ...ONCE, [MODE]: 'COMPLIANCE', [DAYS]: '29' })],
    ['NoShorterLock', { action: 's3:PutObjectRetention', resource: OBJECT, context: { ...TLS, [DAYS]: '1' } }],
    ['NoWeakerLock', put({ ...ONCE, [MODE]: 'GOVERNANCE', [DAYS]: '60' })],
    ['NoOtherEncryption', put({ ...ONCE, ...KMS, [ENCRYPTION]: 'AES256' })],
    ['NoUnnamedKey', put({ ...ONCE, [ENCRYPTION]: 'aws:kms' })],
    ['NoOtherKey', put({ ...ONCE, ...KMS, [`${ENCRYPTION}-aws-kms-key-id`]: `${KEY}1` })],
    ['NoKeyOfTheWriter', put({ ...ONCE, [`${ENCRYPTION}-customer-algorithm`]: 'AES256' })],
  ];
  for (const [sid, request] of refused) {
    const { allowed, refusing } = decide([ADMINISTRATOR, policy], request);
    assert.deepEqual({ allowed, refusing }, { allowed: false, refusing: [sid] });
  }
  const sids = policy.Statement.map(({ Sid }) => Sid);
  assert.deepEqual(
    sids.filter((sid) => !refused.some(([seen]) => seen === sid)),
    [],
    'every statement is tried',
  );
  assert.ok(policy.Statement.every(({ Effect, Principal }) => Effect === 'Deny' && Principal === '*'));
});

test('the encryption key that the stack makes cannot be disabled or destroyed by a single call', async (t) => {
  if (!needs(t, ...TEMPLATE_COMPONENTS)) return;
  const { EncryptionKey } = await resources('evidence-bucket');
  const policy = property(EncryptionKey, 'KeyPolicy') as Policy;
  for (const action of ['kms:ScheduleKeyDeletion', 'kms:DisableKey'])
    assert.equal(decide([ADMINISTRATOR, policy], { action, resource: KEY }).allowed, false);
  for (const action of ['kms:Decrypt', 'kms:GenerateDataKey', 'kms:PutKeyPolicy'])
    assert.equal(decide([policy], { action, resource: KEY }).allowed, true);
});
