// An image opened for tests: its archive's configuration and layers, and its files in a folder.
import { execFile } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Dockerd } from '../testbed/dockerd.ts';

const execute = promisify(execFile);

export interface OpenedImage {
  readonly reference: string;
  /** Of the configuration: what runs, as whom, labels, and the history of all layers. */
  readonly config: {
    readonly config: {
      readonly User?: string;
      readonly Env?: readonly string[];
      readonly Entrypoint?: readonly string[];
      readonly Labels?: Readonly<Record<string, string>>;
    };
    readonly history: readonly { readonly created_by?: string }[];
    readonly rootfs: { readonly diff_ids: readonly string[] };
  };
  /** A folder with everything that a container of it would see. */
  readonly root: string;
  /** Bytes of all files. */
  readonly size: number;
}

/** Opens a docker archive below `folder`; the engine has loaded it already. */
export async function openImage(
  dockerd: Dockerd,
  { archive, reference, folder }: { readonly archive: string; readonly reference: string; readonly folder: string },
): Promise<OpenedImage> {
  const layers = join(folder, 'archive');
  const root = join(folder, 'root');
  await mkdir(layers, { recursive: true });
  await mkdir(root);
  await execute('tar', ['-C', layers, '-xf', archive]);
  const [manifest] = JSON.parse(await readFile(join(layers, 'manifest.json'), 'utf8')) as {
    readonly Config: string;
    readonly Layers: readonly string[];
  }[];
  if (manifest === undefined) throw new Error(`${archive} has no image`);
  for (const layer of manifest.Layers) await execute('tar', ['-C', root, '-xpf', join(layers, layer)]);
  const size = await dockerd.docker('image', 'inspect', '--format', '{{.Size}}', reference);
  return {
    reference,
    config: JSON.parse(await readFile(join(layers, manifest.Config), 'utf8')) as OpenedImage['config'],
    root,
    size: Number(size),
  };
}
