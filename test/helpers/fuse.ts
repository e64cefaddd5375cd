// File systems whose files fail or never answer, each served by a process that goes with its test. Needs root.
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { TestContext } from 'node:test';

const SCRIPT = join(import.meta.dirname, 'fuse_filesystem.py');

interface FuseServer {
  readonly child: ChildProcessByStdio<Writable, Readable, null>;
  /** Resolves when it is mounted. */
  readonly ready: Promise<void>;
  readonly exited: Promise<unknown>;
}

/** For who has to start it elsewhere, such as in another namespace: see `stuckFileSystem`. */
export function stuckCommand(mountpoint: string, directory: string, stuck = 'none'): readonly string[] {
  return ['python3', SCRIPT, 'stuck', mountpoint, directory, stuck];
}

/**
 * Serves each file of `directory` at `mountpoint`; reading the file `stuck` of them never comes back. The mountpoint is
 * in a `mountFolder`, which takes the mount off.
 */
export async function stuckFileSystem(
  t: TestContext,
  mountpoint: string,
  directory: string,
  stuck?: string,
): Promise<ChildProcess> {
  const { child, ready, exited } = serve(stuckCommand(mountpoint, directory, stuck));
  t.after(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  await ready;
  return child;
}

/**
 * Serves `file` as "disk" at `mountpoint`, of which the bytes from `start` to `end` cannot be read, or reading them never
 * comes back, until it is told "heal\n". Ends with its input, and takes its mount along.
 */
export function serveFailing(
  mountpoint: string,
  file: string,
  { start, end, how }: { readonly start: number; readonly end: number; readonly how: 'eio' | 'hang' },
): FuseServer {
  return serve(['python3', SCRIPT, 'failing', mountpoint, file, String(start), String(end), how]);
}

function serve([program = '', ...args]: readonly string[]): FuseServer {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  child.stdin.on('error', () => undefined); // it may have ended
  const failed = exited.then(() => Promise.reject(new Error('it did not start')));
  const ready = Promise.race([once(child.stdout, 'data'), failed]).then(() => undefined);
  return { child, ready, exited };
}
