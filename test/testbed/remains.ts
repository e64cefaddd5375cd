// Ends what a daemon left behind in its folder: processes that name the folder, and mounts below it.
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const PASSES = 20;
const DAEMONS: ReadonlySet<string> = new Set([
  'dockerd',
  'containerd',
  'containerd-shim',
  'containerd-shim-runc-v2',
  'runc',
]);

/** `directory` is the daemon's own temporary folder: nobody else's process has it in its arguments. */
export async function clearFolder(directory: string): Promise<void> {
  for (let pass = 0; pass < PASSES; pass++) {
    const left = await processesNaming(directory);
    if (left.length === 0) break;
    for (const pid of left) kill(pid);
    await sleep(50);
  }
  for (const point of await mountsBelow(directory)) {
    await execute('umount', ['-l', point]).catch(() => undefined); // gone with another mount, or the folder's removal says so
  }
}

/** The daemon's containerd and shims (they outlive it where it was killed), with what runs under them. */
async function processesNaming(directory: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name)).map(Number);
  const found = new Set<number>();
  const parents = new Map<number, number>();
  for (const pid of pids) {
    const argv = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const [, parent] = /^PPid:\s*(\d+)$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')) ?? [];
    parents.set(pid, Number(parent ?? 0));
    const [program = '', ...args] = argv.split('\0');
    if (DAEMONS.has(basename(program)) && args.some((word) => word.includes(`${directory}/`))) found.add(pid);
  }
  for (let grown = true; grown; ) {
    grown = false;
    for (const [pid, parent] of parents) {
      if (found.has(pid) || !found.has(parent)) continue;
      found.add(pid);
      grown = true;
    }
  }
  return [...found];
}

/** Deepest first. */
async function mountsBelow(directory: string): Promise<string[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const points = lines.map((line) => line.split(' ')[4] ?? '').filter((point) => point.startsWith(`${directory}/`));
  return points.reverse();
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // ended meanwhile
  }
}
