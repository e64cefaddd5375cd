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
  return open(argument, access, partialFolder);
}

/** A store to be read: all of its bundles are below it. */
export async function openStore(argument: string, access: StoreAccess = {}): Promise<OpenBundle> {
  return open(argument, access, partialOfStore);
}

export interface NewBundle extends OpenBundle {
  /** The folder that holds all of the store, where it is one. */
  readonly folder?: string;
}

/** Where a new bundle is written, `prefix` being its place in the store: nothing is made yet. */
export async function newBundle(
  argument: string,
  prefix: string,
  access: StoreAccess,
  protection: S3Protection,
): Promise<NewBundle> {
  const inS3 = await openS3(argument, access, { protection });
  const folder = resolve(argument);
  const whole = inS3 ?? new DirectoryStore({ root: folder, partial: partialOfStore(folder) });
  const store = whole.below(prefix);
  return { store, path: store.url, ...(inS3 === undefined ? { folder } : {}) };
}

/** Of all of a command's arguments those by which a store is reached. */
export function reachedBy({ endpoint, region }: StoreAccess): StoreAccess {
  return { ...(endpoint === undefined ? {} : { endpoint }), ...(region === undefined ? {} : { region }) };
}

async function open(
  argument: string,
  access: StoreAccess,
  partialOf: (path: string) => string | Promise<string>,
): Promise<OpenBundle> {
  const inS3 = await openS3(argument, access);
  if (inS3 !== undefined) return { store: inS3, path: inS3.url };
  const path = resolve(argument);
  await assertDirectory(argument, path);
  return { path, store: new DirectoryStore({ root: path, partial: await partialOf(path) }) };
}

async function openS3(
  argument: string,
  access: StoreAccess,
  more: { readonly protection?: S3Protection } = {},
): Promise<Store | undefined> {
  const location = parseS3Url(argument);
  return location === undefined ? undefined : openS3Store({ ...location, ...reachedBy(access), ...more });
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

function partialOfStore(path: string): string {
  return join(path, '.partial');
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
