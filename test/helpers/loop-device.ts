// Real block devices out of files: attached for one test, unmounted and detached with it. Needs root.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { TestContext } from 'node:test';
import { serveFailing } from './fuse.ts';

export interface LoopDevice {
  /** "/dev/loop3" */
  readonly path: string;
  readonly name: string;
  /** What it stands on. */
  readonly file: string;
  /** A folder for it to be mounted on; unmounted with the test. */
  readonly mount: string;
}

/** A device of `bytes`: zeros, or what `fill` puts into its file before it is attached. */
export async function loopDevice(
  t: TestContext,
  bytes: number,
  fill: (file: string) => unknown = () => undefined,
): Promise<LoopDevice> {
  const folder = await mkdtemp(join(tmpdir(), 'impound-loop-'));
  const file = join(folder, 'disk');
  const mount = join(folder, 'mount');
  await mkdir(mount);
  await writeFile(file, '');
  await truncate(file, bytes);
  await fill(file);
  const path = attach(file);
  t.after(async () => {
    quietly('umount', '-l', mount);
    detach(path, file);
    await rm(folder, { recursive: true });
  });
  return { path, name: basename(path), file, mount };
}

/** A device over `file`, of which the bytes from `start` to `end` cannot be read, or reading them never comes back. */
export async function failingDevice(
  t: TestContext,
  file: string,
  where: { readonly start: number; readonly end: number; readonly how: 'eio' | 'hang' },
): Promise<LoopDevice & { heal(): void }> {
  const mount = await mkdtemp(join(tmpdir(), 'impound-loop-'));
  const { child, ready, exited } = serveFailing(mount, file, where);
  let path: string | undefined;
  t.after(async () => {
    child.stdin.write('heal\n');
    if (path !== undefined) endHolders(path);
    if (path !== undefined) detach(path, join(mount, 'disk'));
    child.stdin.end();
    await exited;
    quietly('umount', '-l', mount);
    await rm(mount, { recursive: true });
  });
  await ready;
  path = attach(join(mount, 'disk'), '--read-only');
  return { path, name: basename(path), file, mount, heal: () => void child.stdin.write('heal\n') };
}

/** Whoever the capture may have left to hold the device open, so that it could end itself. */
function endHolders(device: string): void {
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    try {
      if (readlinkSync(`/proc/${pid}/fd/0`) === device) process.kill(Number(pid), 'SIGKILL');
    } catch {
      // it has ended, or has no such descriptor
    }
  }
}

/** A number that another test takes in between is tried again. */
function attach(file: string, ...options: readonly string[]): string {
  for (let tries = 0; ; tries++) {
    try {
      return execFileSync('losetup', [...options, '--find', '--show', file], { stdio: 'pipe' })
        .toString()
        .trim();
    } catch (error) {
      if (tries === 20) throw error;
    }
  }
}

/** Only while it stands on this file: the number may be another test's by now. */
function detach(path: string, file: string): void {
  try {
    const backing = readFileSync(`/sys/block/${basename(path)}/loop/backing_file`, 'utf8').trim();
    if (backing.replace(/ \(deleted\)$/, '') === file) execFileSync('losetup', ['-d', path], { stdio: 'pipe' });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}

function quietly(program: string, ...args: readonly string[]): void {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
  } catch {
    // it was not mounted
  }
}
