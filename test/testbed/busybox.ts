// A root file system of busybox and nothing else, as a tar file for `docker import`.
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findProgram } from './probe.ts';

const execute = promisify(execFile);

/** Writes the tar file: /bin with every applet, /tmp, and an /etc/passwd with root. */
export async function busyboxRootfs(tarFile: string): Promise<void> {
  const busybox = findProgram('busybox');
  if (busybox === undefined) throw new Error('busybox is not installed');
  const root = await mkdtemp(join(tmpdir(), 'imp-rootfs-'));
  try {
    for (const folder of ['bin', 'etc', 'tmp']) await mkdir(join(root, folder));
    await copyFile(busybox, join(root, 'bin', 'busybox'));
    const { stdout } = await execute(busybox, ['--list']);
    const applets = stdout.split('\n').filter((applet) => applet !== '' && applet !== 'busybox');
    await Promise.all(applets.map((applet) => symlink('busybox', join(root, 'bin', applet))));
    await writeFile(join(root, 'etc', 'passwd'), 'root:x:0:0:root:/:/bin/sh\n');
    await execute('tar', ['-C', root, '--owner=0', '--group=0', '-cf', tarFile, '.']);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}
