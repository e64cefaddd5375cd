// Starts and ends a daemon of the testbed, whose folder takes its log.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findProgram } from './probe.ts';

const LOG_TAIL = 2000;

/** Who started it sees that it never answers; with setpriv(1) it ends in order when this process is killed before. */
export async function spawnDaemon(directory: string, name: string, args: readonly string[]): Promise<ChildProcess> {
  const program = findProgram(name);
  if (program === undefined) throw new Error(`${name} is not installed`);
  const log = await open(join(directory, 'log'), 'a');
  const setpriv = findProgram('setpriv');
  const words = [...(setpriv === undefined ? [] : [setpriv, '--pdeathsig', 'TERM']), program, ...args];
  const [first = program, ...rest] = words;
  const child = spawn(first, rest, { stdio: ['ignore', log.fd, log.fd], cwd: directory });
  child.on('error', () => undefined);
  await log.close();
  return child;
}

export function runs(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

/** Asks it to end, and kills it after `milliseconds`. */
export async function endDaemon(child: ChildProcess, milliseconds: number): Promise<void> {
  if (!runs(child)) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), milliseconds);
  await ended;
  clearTimeout(timer);
}

export async function didNotStart(directory: string, name: string): Promise<Error> {
  const log = await readFile(join(directory, 'log'), 'utf8');
  return new Error(`${name} does not start on this machine:\n${log.slice(-LOG_TAIL)}`);
}
