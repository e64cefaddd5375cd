// Who may do what: the controller all that the code asks for, nobody anything that removes or weakens evidence.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { needs } from '../helpers/component.ts';
import { decide, listOf, type Policy } from './policy.ts';
import { property, resources, TEMPLATE_COMPONENTS } from './template.ts';

const ENCRYPTION_KEY = 'arn:aws:kms:eu-central-1:111122223333:key/encryption';
const SIGNING_KEY = 'arn:aws:kms:eu-central-1:111122223333:key/signing';
const BUCKET = 'arn:aws:s3:::evidence';
const BUNDLE = `${BUCKET}/local/no-case/01890a5d-ac96-774b-bcce-b302099a8057`;
const THROUGH_S3 = { 'kms:ViaService': 's3.eu-central-1.amazonaws.com' };
const DIGEST = { 'kms:SigningAlgorithm': 'ECDSA_SHA_256', 'kms:MessageType': 'DIGEST' };

/** What each command of the SDK that the code sends needs; what S3 asks of KMS beside it is tried on its own. */
const ACTIONS: Readonly<Record<string, readonly string[]>> = {
  CompleteMultipartUpload: ['s3:PutObject'],
  CreateMultipartUpload: ['s3:PutObject', 's3:PutObjectRetention', 's3:PutObjectLegalHold'],
  GetBucketVersioning: ['s3:GetBucketVersioning'],
  GetObject: ['s3:GetObject', 's3:GetObjectVersion'],
  GetObjectLockConfiguration: ['s3:GetBucketObjectLockConfiguration'],
  GetObjectLegalHold: ['s3:GetObjectLegalHold'],
  GetObjectRetention: ['s3:GetObjectRetention'],
  HeadObject: ['s3:GetObject', 's3:GetObjectVersion', 's3:GetObjectRetention', 's3:GetObjectLegalHold'],
  ListMultipartUploads: ['s3:ListBucketMultipartUploads'],
  ListObjectVersions: ['s3:ListBucketVersions'],
  ListObjectsV2: ['s3:ListBucket'],
  ListParts: ['s3:ListMultipartUploadParts'],
  PutObject: ['s3:PutObject', 's3:PutObjectRetention', 's3:PutObjectLegalHold'],
  UploadPart: ['s3:PutObject'],
  GetPublicKey: ['kms:GetPublicKey'],
  Sign: ['kms:Sign'],
  // needs no permission
  GetCallerIdentity: [],
  // `check` tries to remove its own locked probe, and that it may not is the answer
  DeleteObject: [],
};

/** IAM's limit; it does not count white space. */
const MANAGED_POLICY_CHARACTERS = 6144;

/** All that any of the three may be allowed. */
const HARMLESS =
  /^(s3:(PutObject|PutObjectRetention|PutObjectLegalHold|(Get|List)[A-Za-z]+)|kms:(Sign|GetPublicKey|Decrypt|GenerateDataKey))$/;

async function policies(
  BucketName = 'evidence',
): Promise<Readonly<Record<'controller' | 'analyst' | 'auditor', Policy>>> {
  const { ControllerPolicy, AnalystPolicy, AuditorPolicy } = await resources('access-policies', {
    BucketName,
    EncryptionKeyArn: ENCRYPTION_KEY,
    SigningKeyArn: SIGNING_KEY,
  });
  const documents = [ControllerPolicy, AnalystPolicy, AuditorPolicy].map((one) => property(one, 'PolicyDocument'));
  const [controller, analyst, auditor] = documents as Policy[];
  if (!controller || !analyst || !auditor) throw new Error('a policy is missing');
  return { controller, analyst, auditor };
}

/** Commands that the sources make: `new PutObjectCommand(`. */
async function commandsOf(room: string): Promise<readonly string[]> {
  const root = join(import.meta.dirname, '../..', room);
  const files = (await readdir(root, { recursive: true })).filter((name) => name.endsWith('.ts'));
  const texts = await Promise.all(files.map((name) => readFile(join(root, name), 'utf8')));
  return texts.flatMap((text) => [...text.matchAll(/new ([A-Za-z0-9]+)Command\(/g)].map(([, name = '']) => name));
}

test('the controller may do what the code does, each of its commands', async (t) => {
  if (!needs(t, ...TEMPLATE_COMPONENTS)) return;
  const { controller } = await policies();
  const commands = new Set([...(await commandsOf('evidence/store')), ...(await commandsOf('cloud'))]);
  assert.ok(commands.has('PutObject') && commands.has('Sign'), 'the sources are read');
  for (const command of commands) {
    const actions = ACTIONS[command];
    assert.ok(actions, `say in this test which actions ${command} needs, and allow them to the controller`);
    for (const action of actions) assert.ok(mayOnBundle(controller, action), `${command}: ${action}`);
  }
  for (const action of ['kms:Decrypt', 'kms:GenerateDataKey']) {
    const request = { action, resource: ENCRYPTION_KEY };
    assert.equal(decide([controller], { ...request, context: THROUGH_S3 }).allowed, true);
    assert.equal(decide([controller], request).allowed, false, 'for nothing but S3');
  }
});

test('nobody is allowed anything that removes, weakens, or reaches beyond the evidence', async (t) => {
  if (!needs(t, ...TEMPLATE_COMPONENTS)) return;
  const resourcesOfOurs = new RegExp(`^(${BUCKET}(/.*)?|${ENCRYPTION_KEY}|${SIGNING_KEY})$`);
  for (const [who, { Statement }] of Object.entries(await policies())) {
    for (const { Sid, Effect, Action, Resource } of Statement) {
      assert.equal(Effect, 'Allow');
      for (const action of listOf(Action)) assert.match(action, HARMLESS, `${who} ${Sid}`);
      for (const resource of listOf(Resource)) assert.match(resource, resourcesOfOurs, `${who} ${Sid}`);
    }
    for (const action of [
      's3:DeleteObject',
      's3:DeleteObjectVersion',
      's3:BypassGovernanceRetention',
      's3:AbortMultipartUpload',
      's3:PutBucketPolicy',
      's3:PutBucketObjectLockConfiguration',
      's3:PutLifecycleConfiguration',
      's3:PutObjectAcl',
      'kms:ScheduleKeyDeletion',
      'kms:CreateGrant',
    ]) {
      assert.equal(mayOnBundle({ Statement }, action), false, `${who} ${action}`);
    }
    const lift = { action: 's3:PutObjectLegalHold', resource: `${BUNDLE}/data/a` };
    const context = { 's3:object-lock-legal-hold': 'OFF' };
    assert.equal(decide([{ Statement }], { ...lift, context }).allowed, false, `${who} lifts a legal hold`);
    const raw = { ...DIGEST, 'kms:MessageType': 'RAW' };
    const sign = { action: 'kms:Sign', resource: SIGNING_KEY, context: raw };
    assert.equal(decide([{ Statement }], sign).allowed, false, `${who} signs what is no digest`);
  }
});

test('each policy fits into a managed policy, with a bucket name of any length', async (t) => {
  if (!needs(t, ...TEMPLATE_COMPONENTS)) return;
  for (const [who, policy] of Object.entries(await policies('e'.repeat(63)))) {
    assert.ok(JSON.stringify(policy).length < MANAGED_POLICY_CHARACTERS, who);
  }
});

test('an analyst reads everything and writes only to the chain of custody', async (t) => {
  if (!needs(t, ...TEMPLATE_COMPONENTS)) return;
  const { analyst } = await policies();
  const may = (action: string, path: string) =>
    decide([analyst], { action, resource: `${BUNDLE}/${path}`, context: {} }).allowed;
  for (const path of ['data/40-memory/1.core.zst', 'custody/000000.dsse.json', 'manifest-sha256.txt']) {
    assert.ok(may('s3:GetObject', path) && may('s3:GetObjectVersion', path), path);
  }
  for (const path of ['custody/000042.dsse.json', 'custody/000042.tsr', `custody/keys/${'0'.repeat(64)}.pem`]) {
    assert.ok(may('s3:PutObject', path), path);
  }
  for (const path of ['data/60-file/custody/000042.dsse.json', 'data/custody/a', 'manifest-sha256.txt', 'custody/a']) {
    assert.ok(!may('s3:PutObject', path), path);
  }
  for (const action of ['s3:PutObjectRetention', 's3:PutObjectLegalHold', 'kms:Sign'])
    assert.equal(mayOnBundle(analyst, action), false, action);
});

test('an auditor reads custody and the files of the bag, and no payload; and writes nothing', async (t) => {
  if (!needs(t, ...TEMPLATE_COMPONENTS)) return;
  const { auditor } = await policies();
  const may = (action: string, path: string) => decide([auditor], { action, resource: `${BUNDLE}/${path}` }).allowed;
  const open = [
    'bagit.txt',
    'bag-info.txt',
    'manifest-sha256.txt',
    'tagmanifest-sha256.txt',
    'custody/000007.dsse.json',
  ];
  for (const path of open) assert.ok(may('s3:GetObject', path) && may('s3:GetObjectVersion', path), path);
  for (const path of ['data/00-meta/request.json', 'data/40-memory/1.core.zst', 'data/60-file/bagit.txt']) {
    assert.ok(!may('s3:GetObject', path) && !may('s3:GetObjectVersion', path), path);
    assert.ok(may('s3:GetObjectRetention', path), path);
  }
  for (const action of ['s3:PutObject', 's3:PutObjectRetention', 'kms:GenerateDataKey', 'kms:Sign'])
    assert.equal(mayOnBundle(auditor, action), false, action);
});

test('only the signer signs with the signing key; the account manages it and cannot', async (t) => {
  if (!needs(t, ...TEMPLATE_COMPONENTS)) return;
  const SignerArn = 'arn:aws:iam::111122223333:role/controller';
  const { SigningKey } = await resources('signing-key', { SignerArn });
  const { KeySpec, KeyUsage, KeyPolicy } = SigningKey?.Properties ?? {};
  assert.deepEqual({ KeySpec, KeyUsage }, { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' });
  const { Statement } = KeyPolicy as Policy;
  const of = (principal: string): Policy => ({
    Statement: Statement.filter(({ Principal }) =>
      listOf((Principal as { AWS: string | string[] }).AWS).includes(principal),
    ),
  });
  const signer = of(SignerArn);
  const account = of('arn:aws:iam::111122223333:root');
  assert.equal(mayOnBundle(signer, 'kms:Sign'), true);
  assert.equal(mayOnBundle(signer, 'kms:GetPublicKey'), true);
  assert.equal(mayOnBundle(signer, 'kms:PutKeyPolicy'), false);
  assert.equal(mayOnBundle(account, 'kms:PutKeyPolicy'), true);
  for (const action of ['kms:Sign', 'kms:CreateGrant']) assert.equal(mayOnBundle(account, action), false, action);
});

/** On whichever of the bucket, an object or a key the action is about, with the context that Impound's requests have. */
function mayOnBundle(policy: Policy, action: string): boolean {
  const context = { ...THROUGH_S3, ...DIGEST, 's3:object-lock-legal-hold': 'ON' };
  const known = [BUCKET, `${BUNDLE}/data/00-meta/request.json`, ENCRYPTION_KEY, SIGNING_KEY];
  return known.some((resource) => decide([policy], { action, resource, context }).allowed);
}
