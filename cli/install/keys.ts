// The keys and certificates that an installation needs: those of the folder, made where they are not there yet.
import { readFile } from 'node:fs/promises';
import { isInKms } from '../../cloud/index.ts';
import { type Clock, describeError, generateKeyFiles, ImpoundError, readSigner } from '../../evidence/index.ts';
import { publicHalf } from '../key.ts';
import { type KeyFolder, openKeyFolder } from './key-folder.ts';
import { SERVICE, type Settings } from './settings.ts';
import { selfManagedTls, type Tls } from './tls.ts';

export interface SigningKey {
  readonly pem: string;
  readonly keyid: string;
  /** File that bundles are verified with. */
  readonly publicFile: string;
}

export interface Keys {
  /** Absent with a key in KMS. */
  readonly signing?: SigningKey;
  /** Absent with cert-manager. */
  readonly tls?: Tls;
  /** What was made now, for people. */
  readonly made: readonly string[];
}

export interface KeysOptions {
  readonly settings: Settings;
  readonly renew: boolean;
  readonly rotate: boolean;
  readonly clock: Clock;
}

const SIGNING = 'signing.pem';

export async function installationKeys({ settings, renew, rotate, clock }: KeysOptions): Promise<Keys> {
  const { key, tls, keysFolder } = settings;
  const isSelfManaged = tls.kind === 'self';
  // with a key elsewhere and cert-manager there is nothing to keep
  const folder = isSelfManaged || key === undefined ? await openKeyFolder(keysFolder) : undefined;
  const made: string[] = [];
  let signing: SigningKey | undefined;
  if (key === undefined && folder !== undefined) signing = await ownSigningKey(folder, made);
  else if (key !== undefined && !isInKms(key)) signing = await signingKeyOf(key);
  const pair =
    isSelfManaged && folder !== undefined
      ? await selfManagedTls({ folder, host: SERVICE, renew, rotate, clock })
      : undefined;
  made.push(...(pair?.made ?? []));
  return { ...(signing === undefined ? {} : { signing }), ...(pair === undefined ? {} : { tls: pair }), made };
}

async function ownSigningKey(folder: KeyFolder, made: string[]): Promise<SigningKey> {
  if ((await folder.read(SIGNING)) === undefined) {
    await generateKeyFiles(folder.file(SIGNING));
    made.push('the signing key');
  }
  return signingKeyOf(folder.file(SIGNING));
}

/** Throws `key-unreadable` or `key-unsuitable`. */
async function signingKeyOf(file: string): Promise<SigningKey> {
  const { keyid } = await readSigner(file);
  const pem = await readFile(file, 'utf8').catch((cause: unknown) => {
    const about = { operation: 'read key', thing: file, cause };
    throw new ImpoundError('key-unreadable', `cannot read the key ${file}: ${describeError(cause)}`, about);
  });
  return { pem, keyid, publicFile: await publicHalf(file) };
}
