// Opens the bundle that a person names on the command line.
import { access, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { DirectoryStore, ImpoundError } from '../evidence/index.ts';

export interface OpenBundle {
  readonly store: DirectoryStore;
  readonly path: string;
}

/** Throws `not-a-bundle` where the path is no directory. */
export async function openBundle(argument: string): Promise<OpenBundle> {
  const path = resolve(argument);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || !found.isDirectory()) {
    const why = found === undefined ? 'there is nothing there' : 'it is not a directory';
    throw new ImpoundError('not-a-bundle', `${argument} is not a bundle: ${why}`, {
      operation: 'open bundle',
      thing: argument,
    });
  }
  return { path, store: new DirectoryStore({ root: path, partial: await partialFolder(path) }) };
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
