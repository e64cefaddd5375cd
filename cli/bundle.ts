// Opens what a person names on the command line: a bundle or a store, in a directory or in S3.
import { access, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import {
  DirectoryStore,
  ImpoundError,
  openS3Store,
  parseS3Url,
  type S3Protection,
  type Store,
} from '../evidence/index.ts';

/** How a store that is no directory is reached; the rest is the AWS environment's. */
export interface StoreAccess {
  readonly endpoint?: string;
  readonly region?: string;
}

export interface OpenBundle {
  readonly store: Store;
  /** As the person would write it again. */
  readonly path: string;
}

/** Throws `not-a-bundle` where a path is no directory; of a bundle in S3 whoever reads its chain is told. */
export async function openBundle(argument: string, access: StoreAccess = {}): Promise<OpenBundle> {
  const inS3 = await openS3(argument, access);
  if (inS3 !== undefined) return inS3;
  const path = resolve(argument);
  await assertDirectory(argument, path);
  return { path, store: new DirectoryStore({ root: path, partial: await partialFolder(path) }) };
}

/** A store to be read: all of its bundles are below it. */
export async function openStore(argument: string, access: StoreAccess = {}): Promise<OpenBundle> {
  const inS3 = await openS3(argument, access);
  if (inS3 !== undefined) return inS3;
  const path = resolve(argument);
  await assertDirectory(argument, path);
  return { path, store: new DirectoryStore({ root: path, partial: join(path, '.partial') }) };
}

export interface NewBundle extends OpenBundle {
  /** The folder that holds all of the store, where it is one. */
  readonly folder?: string;
}

/** Where a new bundle is written: nothing is made yet. */
export async function newBundle(
  argument: string,
  { prefix, id }: { readonly prefix: string; readonly id: string },
  access: StoreAccess,
  protection: S3Protection,
): Promise<NewBundle> {
  const location = parseS3Url(argument);
  if (location === undefined) {
    const folder = resolve(argument);
    const path = join(folder, prefix);
    return { folder, path, store: new DirectoryStore({ root: path, partial: join(folder, '.partial', id) }) };
  }
  const below = location.prefix === '' ? prefix : `${location.prefix}/${prefix}`;
  const store = await openS3Store({ ...location, ...reachedBy(access), prefix: below, protection });
  return { store, path: store.url };
}

async function openS3(argument: string, access: StoreAccess): Promise<OpenBundle | undefined> {
  const location = parseS3Url(argument);
  if (location === undefined) return undefined;
  const store = await openS3Store({ ...location, ...reachedBy(access) });
  return { store, path: store.url };
}

/** Of all of a command's arguments only these. */
function reachedBy({ endpoint, region }: StoreAccess): StoreAccess {
  return { ...(endpoint === undefined ? {} : { endpoint }), ...(region === undefined ? {} : { region }) };
}

async function assertDirectory(argument: string, path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === true) return;
  const why = found === undefined ? 'there is nothing there' : 'it is not a directory';
  throw new ImpoundError('not-a-bundle', `${argument} is not a bundle: ${why}`, {
    operation: 'open bundle',
    thing: argument,
  });
}

/** In a store half-written objects stand three levels up, beside the clusters; a bundle on its own has them beside it. */
async function partialFolder(bundle: string): Promise<string> {
  const store = join(bundle, '..', '..', '..', '.partial');
  try {
    await access(store);
    return join(store, basename(bundle));
  } catch {
    return join(dirname(bundle), '.partial', basename(bundle));
  }
}
