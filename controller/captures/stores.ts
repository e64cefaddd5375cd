// The store that all bundles go to, and each bundle's place in it.
import { hkdfSync, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  bundlePrefix,
  DirectoryStore,
  openS3Store,
  parseS3Url,
  readSigner,
  type Signer,
  type Store,
} from '../../evidence/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import type { ControllerConfig } from '../config.ts';

/** Before the ARN or alias of a key in AWS KMS. */
const KMS = 'kms:';
const SECRET_BYTES = 32;
/** Of one call: whoever reconciles comes again, and an agent too. */
const PATIENCE = { milliseconds: 20_000 };

export async function openStore({ store }: ControllerConfig): Promise<Store> {
  const { url, endpoint, region, retention, legalHold, kmsKey } = store;
  const location = parseS3Url(url);
  if (location === undefined) {
    const root = resolve(url);
    return new DirectoryStore({ root, partial: join(root, '.partial') });
  }
  return openS3Store({
    ...location,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    patience: PATIENCE,
    protection: {
      ...(retention === undefined ? {} : { retention }),
      ...(legalHold === undefined ? {} : { legalHold }),
      ...(kmsKey === undefined ? {} : { kmsKey }),
    },
  });
}

export function bundleStore(store: Store, { cluster }: ControllerConfig, { spec }: NodeCapture, bundle: string): Store {
  return store.below(bundlePrefix(cluster, spec.case, bundle));
}

/**
 * What URLs for bytes that the controller takes itself are signed with. Made of the signing key's file, so that it
 * outlives a restart and is every replica's; with a key in KMS it is each process's own, and a URL ends with that.
 */
export async function grantSecret({ key }: ControllerConfig): Promise<Buffer> {
  if (key.startsWith(KMS)) return randomBytes(SECRET_BYTES);
  return Buffer.from(hkdfSync('sha256', await readFile(key), '', 'impound granted URLs', SECRET_BYTES));
}

export async function openSigner({ key }: ControllerConfig): Promise<Signer> {
  if (!key.startsWith(KMS)) return readSigner(key);
  const { kmsSigner } = await import('../../cloud/index.ts');
  return kmsSigner(key.slice(KMS.length));
}
