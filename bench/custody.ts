// An open bundle in a folder, for what is measured inside the process.
import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { signerOf } from '../evidence/custody/key.ts';
import {
  beginBundle,
  bundleId,
  type ChainWriter,
  type Custody,
  DirectoryStore,
  systemClock,
} from '../evidence/index.ts';

export interface OpenCustody {
  readonly store: DirectoryStore;
  readonly custody: Custody;
  readonly chain: ChainWriter;
  readonly path: string;
}

export async function makeCustody(folder: string): Promise<OpenCustody> {
  const bundle = bundleId(new Date());
  const path = join(folder, bundle);
  const store = new DirectoryStore({ root: path, partial: join(folder, '.partial', bundle) });
  await store.prepare();
  const signer = signerOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  const custody: Custody = {
    store,
    signer,
    actor: { kind: 'person', name: 'bench' },
    clock: systemClock,
    software: 'Impound bench',
  };
  const request = {
    bundle,
    requestedBy: 'bench',
    requestedAt: '',
    reason: null,
    case: null,
    node: 'here',
    profile: 'quick',
  };
  return { store, custody, path, chain: await beginBundle(custody, request) };
}
