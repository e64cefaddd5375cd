// The signer that a key is named for: in a file, or in AWS KMS.
import { readSigner, type Signer } from '../evidence/index.ts';
import { kmsSigner } from './kms.ts';

/** Before the ARN or alias of a key in AWS KMS. */
const KMS = 'kms:';

export function isInKms(key: string): boolean {
  return key.startsWith(KMS);
}

/** `key`: path of a PEM file, or "kms:" and what kmsSigner takes. Throws what it and readSigner do. */
export function signerOf(key: string): Promise<Signer> {
  return isInKms(key) ? kmsSigner(key.slice(KMS.length)) : readSigner(key);
}
