// A container image of busybox and nothing else, as a docker archive for `ctr images import`: no registry is asked.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { busyboxRootfs } from '../busybox.ts';

const execute = promisify(execFile);

/** Writes `archive`: the image `reference` ("localhost/busybox:1") that starts `command`. */
export async function busyboxImage(archive: string, reference: string, command: readonly string[]): Promise<void> {
  const folder = await mkdtemp(`${archive}-`);
  try {
    await busyboxRootfs(join(folder, 'layer.tar'));
    const digest = createHash('sha256')
      .update(await readFile(join(folder, 'layer.tar')))
      .digest('hex');
    const config = {
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Entrypoint: command, Env: ['PATH=/bin'] },
      rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
    };
    const manifest = [{ Config: 'config.json', RepoTags: [reference], Layers: ['layer.tar'] }];
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
    await execute('tar', ['-C', folder, '-cf', archive, 'manifest.json', 'config.json', 'layer.tar']);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
