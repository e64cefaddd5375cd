// A key in AWS KMS signs a bundle, and what is no such key is refused with what to do.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  type CreateKeyCommandInput,
  GetPublicKeyCommand,
  KMSClient,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { kmsSigner } from '../../cloud/kms.ts';
import { parsePublicKey } from '../../evidence/custody/key.ts';
import { type ErrorCode, ImpoundError, verifyBundle } from '../../evidence/index.ts';
import { makeBundle } from '../helpers/bundle.ts';
import { missing, needs } from '../helpers/component.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { startProxy } from '../testbed/fault-proxy.ts';
import { MOTO_COMPONENTS } from '../testbed/moto.ts';
import { setEnvironment } from './environment.ts';
import { startKms, startRefusal } from './kms-server.ts';

const REGION = 'eu-central-1';
const SIGNING = { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' } as const;
const ABSENT = `arn:aws:kms:${REGION}:123456789012:key/00000000-0000-0000-0000-000000000000`;
const scope = { after };
const moto = missing(MOTO_COMPONENTS) === undefined ? await startKms(scope) : undefined;
const endpoint = moto?.endpoint ?? 'http://127.0.0.1:9';
setEnvironment(scope, { AWS_ENDPOINT_URL_KMS: endpoint });
const admin = new KMSClient({ region: REGION });
after(() => admin.destroy());

test('a bundle signed by a key in KMS verifies, with that key trusted', async (t) => {
  if (!needs(t, ...MOTO_COMPONENTS)) return;
  const { arn, id } = await makeKey(SIGNING);
  const signer = await kmsSigner(arn);
  const made = await makeBundle(await temporaryFolder(t), undefined, { signer });
  const { PublicKey = new Uint8Array() } = await admin.send(new GetPublicKeyCommand({ KeyId: id }));
  const trusted = parsePublicKey(pem(PublicKey), 'key');
  const report = await verifyBundle(made.store, { trusted: [trusted], head: made.head });
  assert.deepEqual(report.findings, []);
  assert.equal(report.verdict, 'intact');
  assert.deepEqual(report.signer, { keyid: trusted.keyid, kind: 'AWS KMS', actor: 'tester', trusted: true });
  assert.equal(signer.publicKeyPem, pem(PublicKey));
});

test('an alias signs with the key that it named when signing began', async (t) => {
  if (!needs(t, ...MOTO_COMPONENTS)) return;
  const [first, second] = [await makeKey(SIGNING), await makeKey(SIGNING)];
  const AliasName = 'alias/impound-signing';
  await admin.send(new CreateAliasCommand({ AliasName, TargetKeyId: first.id }));
  setEnvironment(t, { AWS_REGION: REGION });
  const signers = [await kmsSigner(AliasName), await kmsSigner(`arn:aws:kms:${REGION}:123456789012:${AliasName}`)];
  await admin.send(new UpdateAliasCommand({ AliasName, TargetKeyId: second.id }));
  for (const signer of signers) {
    assert.equal(signer.keyid, (await kmsSigner(first.arn)).keyid);
    const made = await makeBundle(await temporaryFolder(t), [], { signer });
    assert.equal((await verifyBundle(made.store)).verdict, 'intact');
  }
});

test('a key of another kind is refused before anything is signed, with the command that makes the right one', async (t) => {
  if (!needs(t, ...MOTO_COMPONENTS)) return;
  for (const input of [
    {},
    { KeySpec: 'ECC_NIST_P384', KeyUsage: 'SIGN_VERIFY' },
    { KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' },
  ] as const) {
    const { arn } = await makeKey(input);
    await assert.rejects(
      kmsSigner(arn),
      refusal('key-unsuitable', /create-key --key-spec ECC_NIST_P256 --key-usage SIGN_VERIFY/),
    );
  }
});

test('a key that is not there and a text that names none are told apart', async (t) => {
  if (!needs(t, ...MOTO_COMPONENTS)) return;
  await assert.rejects(kmsSigner(ABSENT), refusal('key-unreadable', /no KMS key arn:aws:kms:eu-central-1/));
  for (const text of ['', 'key', 'arn:aws:s3:::bucket', 'alias/', `${ABSENT}?x`]) {
    await assert.rejects(kmsSigner(text), refusal('usage', /names no KMS key/));
  }
  setEnvironment(t, { AWS_REGION: undefined });
  await assert.rejects(kmsSigner('alias/nowhere'), refusal('usage', /AWS_REGION/));
});

test('what AWS refuses, for whatever reason, is told with its remedy and not tried again', async (t) => {
  // moto signs with disabled keys and gives symmetric ones a public half: these answers are as AWS documents them
  for (const [type, code, message, status] of [
    ['DisabledException', 'key-unsuitable', /enable-key/],
    ['KMSInvalidStateException', 'key-unsuitable', /cancel-key-deletion/],
    ['UnsupportedOperationException', 'key-unsuitable', /create-key/],
    ['AccessDeniedException', 'cloud-denied', /does not allow kms:GetPublicKey on arn:aws:kms/],
    ['SyntaxError', 'cloud-denied', /does not allow/, 403],
    ['ExpiredTokenException', 'cloud-credentials', /sign in again/],
    ['UnrecognizedClientException', 'cloud-credentials', /no valid credentials/],
  ] as const) {
    const { endpoint: refusing, requests } = await startRefusal(t, { type, ...(status && { status }) });
    setEnvironment(t, { AWS_ENDPOINT_URL_KMS: refusing });
    await assert.rejects(kmsSigner(ABSENT), refusal(code, message));
    assert.deepEqual(requests, ['TrentService.GetPublicKey']);
  }
});

test('no credentials, no way, and an answer that failing again does not change have each their code', async (t) => {
  if (!needs(t, ...MOTO_COMPONENTS)) return;
  const proxy = await startProxy(t, endpoint);
  setEnvironment(t, { AWS_ENDPOINT_URL_KMS: proxy.endpoint });
  const { arn } = await makeKey(SIGNING);
  proxy.add({ times: 2, fault: { kind: 'answer', status: 503 } });
  const signer = await kmsSigner(arn);
  assert.equal(proxy.seen.length, 3, 'the SDK tries again');
  proxy.add({ times: 9, fault: { kind: 'answer', status: 500 } });
  await assert.rejects(signer.sign(Buffer.from('entry')), refusal('cloud-failed', /kms:Sign/));
  await proxy.stop();
  await assert.rejects(signer.sign(Buffer.from('entry')), refusal('cloud-unreachable', /kms:Sign/));
  setEnvironment(t, { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined });
  await assert.rejects(kmsSigner(arn), refusal('cloud-credentials', /AWS_PROFILE/));
});

async function makeKey(input: CreateKeyCommandInput): Promise<{ readonly arn: string; readonly id: string }> {
  const { KeyMetadata } = await admin.send(new CreateKeyCommand(input));
  return { arn: KeyMetadata?.Arn ?? '', id: KeyMetadata?.KeyId ?? '' };
}

function pem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN PUBLIC KEY-----', ...lines, '-----END PUBLIC KEY-----', ''].join('\n');
}

function refusal(code: ErrorCode, message: RegExp) {
  return (error: unknown) => error instanceof ImpoundError && error.code === code && message.test(error.message);
}
