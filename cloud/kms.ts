// A signer whose private key never leaves AWS KMS.
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { GetPublicKeyCommandOutput } from '@aws-sdk/client-kms';
import { type ErrorCode, ImpoundError, keyidOf, publicPem, type Signer } from '../evidence/index.ts';
import { clientSettings } from './client.ts';
import { cloudFailure } from './failure.ts';

export interface KmsOptions {
  /** Ends the question for the public key, with `aborted`. Signing goes on: a stopped capture is sealed. */
  readonly signal?: AbortSignal;
}

const CREATE = 'aws kms create-key --key-spec ECC_NIST_P256 --key-usage SIGN_VERIFY';
const KEY_ARN = /^arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:(?:key|alias)\/[A-Za-z0-9/_-]+$/;
const ALIAS = /^alias\/[A-Za-z0-9/_-]+$/;

/**
 * `key` is the ARN of a key or of an alias, or `alias/NAME` of the SDK's own region. Asks once for the public key, so
 * that a key that cannot sign is refused before anything is captured. Throws `usage`, `key-unreadable`,
 * `key-unsuitable`, `cloud-credentials`, `cloud-denied`, `cloud-unreachable`, `cloud-failed`; so does `sign`.
 */
export async function kmsSigner(key: string, { signal }: KmsOptions = {}): Promise<Signer> {
  const region = regionOf(key);
  const { GetPublicKeyCommand, KMSClient, SignCommand } = await import('@aws-sdk/client-kms');
  const client = new KMSClient(clientSettings(region));
  const answer = await client
    .send(new GetPublicKeyCommand({ KeyId: key }), signal && { abortSignal: signal })
    .catch((error: unknown) => {
      client.destroy();
      throw failure(error, key, 'kms:GetPublicKey');
    });
  const publicKey = suitableKey(answer, key);
  // the key behind an alias may be changed for another, which would not be the one that the chain introduces
  const { KeyId = key } = answer;
  return {
    keyid: keyidOf(publicKey),
    publicKeyPem: publicPem(publicKey),
    kind: 'AWS KMS',
    async sign(bytes) {
      const Message = createHash('sha256').update(bytes).digest();
      const command = new SignCommand({ KeyId, Message, MessageType: 'DIGEST', SigningAlgorithm: 'ECDSA_SHA_256' });
      const { Signature } = await client.send(command).catch((error: unknown) => {
        throw failure(error, key, 'kms:Sign');
      });
      if (Signature !== undefined) return Signature;
      throw new ImpoundError('cloud-failed', `AWS KMS gave no signature by ${key}`, { operation: 'sign', thing: key });
    },
  };
}

/** Undefined where the SDK's own region counts. */
function regionOf(key: string): string | undefined {
  const region = KEY_ARN.exec(key)?.[1];
  if (region !== undefined || ALIAS.test(key)) return region;
  throw new ImpoundError(
    'usage',
    `${key} names no KMS key: give kms:arn:aws:kms:REGION:ACCOUNT:key/ID (or …:alias/NAME), or kms:alias/NAME`,
    { operation: 'read key', thing: key },
  );
}

function suitableKey({ PublicKey, KeyUsage }: GetPublicKeyCommandOutput, thing: string): KeyObject {
  const key = PublicKey && createPublicKey({ key: Buffer.from(PublicKey), format: 'der', type: 'spki' });
  if (key?.asymmetricKeyDetails?.namedCurve === 'prime256v1' && KeyUsage === 'SIGN_VERIFY') return key;
  throw new ImpoundError('key-unsuitable', unsuitable(thing), { operation: 'read key', thing });
}

function failure(error: unknown, key: string, action: 'kms:GetPublicKey' | 'kms:Sign'): ImpoundError {
  const dead: readonly [ErrorCode, string] = [
    'key-unsuitable',
    `the KMS key ${key} is disabled or awaits its deletion: aws kms enable-key (after cancel-key-deletion) --key-id ID`,
  ];
  const operation = action === 'kms:Sign' ? 'sign' : 'read key';
  return cloudFailure(
    error,
    { operation, thing: key, action },
    {
      NotFoundException: [
        'key-unreadable',
        `there is no KMS key ${key}: check account and region, or make one: ${CREATE}`,
      ],
      DisabledException: dead,
      KMSInvalidStateException: dead,
      UnsupportedOperationException: ['key-unsuitable', unsuitable(key)],
      InvalidKeyUsageException: ['key-unsuitable', unsuitable(key)],
    },
  );
}

function unsuitable(key: string): string {
  return `${key} is not an ECC_NIST_P256 key for SIGN_VERIFY; make one: ${CREATE}`;
}
