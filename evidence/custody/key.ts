// Signing keys: ECDSA P-256 in PEM files, and the public keys that signatures are checked against.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf, ImpoundError } from '../errors.ts';
import type { Signer } from '../ports.ts';
import { makeFolder } from '../store/folders.ts';

/** A public key and the name under which the chain knows it. */
export interface TrustedKey {
  readonly keyid: string;
  readonly key: KeyObject;
}

/** SHA-256 of the SPKI DER, lower-case hex. */
export function keyidOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

/** SPKI PEM as Node writes it: the one form that custody/keys/ may have. */
export function publicPem(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString();
}

/** A public key from PEM text (a private key's PEM gives its public half); throws `key-unsuitable`. */
export function parsePublicKey(pem: string | Uint8Array, thing: string): TrustedKey {
  let key: KeyObject;
  try {
    key = createPublicKey(Buffer.from(pem));
  } catch (cause) {
    throw new ImpoundError('key-unsuitable', `${thing} is not a PEM key`, { operation: 'read key', thing, cause });
  }
  assertP256(key, thing);
  return { keyid: keyidOf(key), key };
}

export async function readPublicKey(file: string): Promise<TrustedKey> {
  return parsePublicKey(await readKeyFile(file), file);
}

/** A Signer from a private key's PEM file; throws `key-unreadable` or `key-unsuitable`. */
export async function readSigner(file: string): Promise<Signer> {
  const pem = await readKeyFile(file);
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new ImpoundError(
      'key-unsuitable',
      `${file} is not a private key in PEM without passphrase; "impound keygen" makes one`,
      { operation: 'read key', thing: file, cause },
    );
  }
  assertP256(key, file);
  return signerOf(key);
}

export function signerOf(privateKey: KeyObject): Signer {
  const publicKey = createPublicKey(privateKey);
  return {
    keyid: keyidOf(publicKey),
    publicKeyPem: publicPem(publicKey),
    kind: 'PEM file',
    sign: async (bytes) => sign('sha256', bytes, privateKey),
  };
}

/** Makes a key pair: `file` (0600, PKCS #8) and `file.pub`; never overwrites. */
export async function generateKeyFiles(file: string): Promise<Signer> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signer = signerOf(privateKey);
  try {
    await makeFolder(dirname(file));
    await writeNew(file, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 0o600);
    await writeNew(`${file}.pub`, signer.publicKeyPem, 0o644);
  } catch (cause) {
    const exists = errnoOf(cause) === 'EEXIST';
    throw new ImpoundError(
      exists ? 'key-exists' : 'key-unwritable',
      exists
        ? `${file} exists already; a key is never overwritten`
        : `cannot write the signing key ${file}: ${errnoOf(cause)}; make one elsewhere (keygen FILE) and give it as --key`,
      { operation: 'write key', thing: file, cause },
    );
  }
  return signer;
}

export function signatureMatches(key: KeyObject, bytes: Uint8Array, signature: Uint8Array): boolean {
  return verify('sha256', bytes, key, signature);
}

async function writeNew(file: string, text: string, mode: number): Promise<void> {
  const handle = await open(file, 'wx', mode);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readKeyFile(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new ImpoundError('key-unreadable', `cannot read the key ${file}: ${errnoOf(cause) ?? 'unknown error'}`, {
      operation: 'read key',
      thing: file,
      cause,
    });
  }
}

function assertP256(key: KeyObject, thing: string): void {
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return;
  throw new ImpoundError('key-unsuitable', `${thing} is not an ECDSA P-256 key; "impound keygen" makes one`, {
    operation: 'read key',
    thing,
  });
}
