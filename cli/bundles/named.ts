// What the argument of a verb that reads means: a bundle where it stands, or the name of a capture in the cluster.
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ChainHead, ImpoundError } from '../../evidence/index.ts';
import { type OpenBundle, openBundle, type StoreAccess } from '../bundle.ts';
import { CAPTURE_NAME } from '../cluster/capture-name.ts';
import type { ControllerArguments } from '../commands/cluster-options.ts';

/** Of a folder's names. */
const MOST_LOOKED_AT = 100;

export interface NamedBundle extends OpenBundle, AsyncDisposable {
  /** Of a capture: the controller writes the access to its chain, and gives nothing before. */
  readonly record?: (purpose: string, paths?: readonly string[]) => Promise<ChainHead>;
}

/** A folder that has a chain is a bundle, whatever its name. Throws as `openBundle` and `openCaptureBundle`. */
export async function openNamed(argument: string, argv: StoreAccess & ControllerArguments): Promise<NamedBundle> {
  if (await isBundle(argument)) return atPlace(argument, argv);
  const inside = await bundlesIn(argument);
  if (!CAPTURE_NAME.test(argument)) {
    if (inside.length > 0) throw oneAbove(argument, inside);
    return atPlace(argument, argv);
  }
  const { openCaptureBundle } = await import('../cluster/capture-bundle.ts');
  try {
    return await openCaptureBundle(argument, argv);
  } catch (error) {
    const isUnknown = isWithoutCluster(error, argv) || (error instanceof ImpoundError && error.code === 'api-missing');
    if (inside.length > 0 && isUnknown) throw oneAbove(argument, inside);
    if (!isWithoutCluster(error, argv)) throw error;
    // nobody meant a cluster
    return atPlace(argument, argv);
  }
}

async function atPlace(argument: string, argv: StoreAccess): Promise<NamedBundle> {
  return { ...(await openBundle(argument, argv)), [Symbol.asyncDispose]: async () => undefined };
}

async function isBundle(folder: string): Promise<boolean> {
  return stat(join(folder, 'custody')).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** As `pull` puts them into the folder that it is given. */
async function bundlesIn(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => []);
  const found: string[] = [];
  for (const name of names.slice(0, MOST_LOOKED_AT)) if (await isBundle(join(folder, name))) found.push(name);
  return found;
}

function oneAbove(folder: string, names: readonly string[]): ImpoundError {
  const [first = '', ...others] = names.map((name) => join(folder, name));
  const more = others.length === 0 ? '' : `, and ${others.length} more`;
  const message = `${folder} is a folder with bundles in it, and none itself: name the bundle, ${first}${more}`;
  return new ImpoundError('not-a-bundle', message, { operation: 'open bundle', thing: folder });
}

function isWithoutCluster(error: unknown, { kubeconfig, context, controller }: ControllerArguments): boolean {
  const chosen = kubeconfig ?? context ?? controller ?? process.env.KUBECONFIG;
  return chosen === undefined && error instanceof ImpoundError && error.operation === 'read kubeconfig';
}
