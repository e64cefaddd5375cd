// What the argument of a verb that reads means: a bundle where it stands, or the name of a capture in the cluster.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ChainHead, ImpoundError } from '../../evidence/index.ts';
import { type OpenBundle, openBundle, type StoreAccess } from '../bundle.ts';
import { CAPTURE_NAME } from '../cluster/capture-name.ts';
import type { ControllerArguments } from '../commands/cluster-options.ts';

export interface NamedBundle extends OpenBundle, AsyncDisposable {
  /** Of a capture: the controller writes the access to its chain, and gives nothing before. */
  readonly record?: (purpose: string, paths?: readonly string[]) => Promise<ChainHead>;
}

/** A folder that has a chain is a bundle, whatever its name. Throws as `openBundle` and `openCaptureBundle`. */
export async function openNamed(argument: string, argv: StoreAccess & ControllerArguments): Promise<NamedBundle> {
  if (!CAPTURE_NAME.test(argument) || (await isBundle(argument))) return atPlace(argument, argv);
  const { openCaptureBundle } = await import('../cluster/capture-bundle.ts');
  try {
    return await openCaptureBundle(argument, argv);
  } catch (error) {
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

function isWithoutCluster(error: unknown, { kubeconfig, context, controller }: ControllerArguments): boolean {
  const chosen = kubeconfig ?? context ?? controller ?? process.env.KUBECONFIG;
  return chosen === undefined && error instanceof ImpoundError && error.operation === 'read kubeconfig';
}
