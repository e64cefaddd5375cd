// The signing key: the one that is named, or the person's own, made once.
import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { generateKeyFiles, readSigner, type Signer } from '../evidence/index.ts';
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
  if (file !== undefined) return { signer: await readSigner(file), file };
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

/** `FILE.pub` where that is; else the key file itself, which verify takes the public half of. */
export async function publicHalf(file: string): Promise<string> {
  const beside = `${file}.pub`;
  return await access(beside).then(
    () => beside,
    () => file,
  );
}
