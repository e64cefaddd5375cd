// The signing key: the one that is named, or the person's own, made once.
import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { isInKms, signerOf } from '../cloud/index.ts';
import {
  generateKeyFiles,
  parsePublicKey,
  readPublicKey,
  readSigner,
  type Signer,
  type TrustedKey,
} from '../evidence/index.ts';
import type { Environment } from './command.ts';

/** `$XDG_CONFIG_HOME/impound/signing.pem` */
export function defaultKeyFile(env: NodeJS.ProcessEnv = process.env): string {
  return join(env.XDG_CONFIG_HOME ?? join(homedir(), '.config'), 'impound', 'signing.pem');
}

export interface SigningKey {
  readonly signer: Signer;
  readonly file: string;
  /** It was made just now, on this machine. */
  readonly made?: true;
}

export async function signingKey(file: string | undefined, { stderr }: Environment): Promise<SigningKey> {
  if (file !== undefined) return { signer: await signerOf(file), file };
  const own = defaultKeyFile();
  try {
    await access(own);
  } catch {
    const signer = await generateKeyFiles(own);
    stderr.write(`made a signing key: ${own}\n  fingerprint ${signer.keyid}\n`);
    return { signer, file: own, made: true };
  }
  return { signer: await readSigner(own), file: own };
}

/** The public half of a PEM file (a private key's too), or of a key in AWS KMS. */
export async function trustedKey(file: string): Promise<TrustedKey> {
  return isInKms(file) ? parsePublicKey((await signerOf(file)).publicKeyPem, file) : readPublicKey(file);
}

/** What verify takes as --key: `FILE.pub` where that is, else the same as the signing key was named by. */
export async function publicHalf(file: string): Promise<string> {
  const beside = `${file}.pub`;
  return await access(beside).then(
    () => beside,
    () => file,
  );
}
