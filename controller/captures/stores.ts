// The store that all bundles go to, and each bundle's place in it.
import { hkdfSync, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isInKms, signerOf } from '../../cloud/index.ts';
import {
  bundlePrefix,
  DirectoryStore,
  openS3Store,
  parseS3Url,
  type Signer,
  type Store,
} from '../../evidence/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import type { ControllerConfig } from '../config.ts';

const SECRET_BYTES = 32;
/** Of one call: whoever reconciles comes again, and an agent too. */
const PATIENCE = { milliseconds: 20_000 };

export async function openStore({ store }: ControllerConfig): Promise<Store> {
  const bucket = bucketOf(store);
  if (bucket !== undefined) return openS3Store({ ...bucket, patience: PATIENCE });
  const root = resolve(store.url);
  return new DirectoryStore({ root, partial: join(root, '.partial') });
}

/** Where it is in S3, and what is asked for with every object; undefined where it is a folder. */
export function bucketOf({ url, endpoint, region, retention, legalHold, kmsKey }: ControllerConfig['store']) {
  const location = parseS3Url(url);
  if (location === undefined) return undefined;
  return {
    ...location,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    protection: {
      ...(retention === undefined ? {} : { retention }),
      ...(legalHold === undefined ? {} : { legalHold }),
      ...(kmsKey === undefined ? {} : { kmsKey }),
    },
  };
}

export function bundleStore(store: Store, { cluster }: ControllerConfig, { spec }: NodeCapture, bundle: string): Store {
  return store.below(bundlePrefix(cluster, spec.case, bundle));
}

/**
 * What URLs for bytes that the controller takes itself are signed with. Made of the signing key's file, so that it
 * outlives a restart and is every replica's; with a key in KMS it is each process's own, and a URL ends with that.
 */
export async function grantSecret({ key }: ControllerConfig): Promise<Buffer> {
  if (isInKms(key)) return randomBytes(SECRET_BYTES);
  return Buffer.from(hkdfSync('sha256', await readFile(key), '', 'impound granted URLs', SECRET_BYTES));
}

export function openSigner({ key }: ControllerConfig): Promise<Signer> {
  return signerOf(key);
}
