// A private key and its certificate, as files of the keys' folder.
import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { ImpoundError } from '../../evidence/index.ts';
import type { KeyFolder } from './key-folder.ts';

export interface Pair {
  readonly key: KeyObject;
  readonly certificate: X509Certificate;
}

/** Names of its files. */
export interface PairNames {
  readonly key: string;
  readonly certificate: string;
}

/** Undefined where neither is there, "half" where one is. Throws `key-unsuitable` where they cannot be read. */
export async function readPair(folder: KeyFolder, names: PairNames): Promise<Pair | 'half' | undefined> {
  const key = await folder.read(names.key);
  const certificate = await folder.read(names.certificate);
  if (key === undefined && certificate === undefined) return undefined;
  if (key === undefined || certificate === undefined) return 'half';
  try {
    return { key: createPrivateKey(key), certificate: new X509Certificate(certificate) };
  } catch (cause) {
    const why = `${names.key} or ${names.certificate} is not PEM that can be read: put back what was there, or move both away`;
    throw unsuitable(folder, why, cause);
  }
}

/** The key first, each whole. */
export async function writePair(folder: KeyFolder, names: PairNames, { key, certificate }: Pair): Promise<void> {
  await folder.write(names.key, keyPem(key));
  await folder.write(names.certificate, pemOf(certificate));
}

/** Undefined where it is not there. */
export async function readCertificate(folder: KeyFolder, name: string): Promise<X509Certificate | undefined> {
  const text = await folder.read(name);
  if (text === undefined) return undefined;
  try {
    return new X509Certificate(text);
  } catch (cause) {
    throw unsuitable(folder, `${name} is not a certificate in PEM: put back what was there, or remove it`, cause);
  }
}

export function isSignedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

export function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

export function keyPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** One line ends it, whoever wrote the file. */
export function pemOf(certificate: X509Certificate): string {
  return `${certificate.toString().trimEnd()}\n`;
}

export function unsuitable(folder: KeyFolder, message: string, cause?: unknown): ImpoundError {
  const about = { operation: 'read key', thing: folder.path, ...(cause === undefined ? {} : { cause }) };
  return new ImpoundError('key-unsuitable', `${folder.path}: ${message}`, about);
}
