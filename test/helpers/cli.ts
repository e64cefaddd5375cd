// Runs the command line as a person would, with a home of the test's own.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';

const main = join(import.meta.dirname, '../../cli/main.ts');

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Folder that takes the signing key: $XDG_CONFIG_HOME. */
  readonly home: string;
  /** Runs as this user. */
  readonly uid?: number;
  readonly cwd?: string;
  /** Beside PATH, HOME and the like. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Program and arguments of a call. */
export function cliCommand(words: readonly string[]): readonly string[] {
  return [process.execPath, main, ...words];
}

export function startCli(words: readonly string[], { home, uid, cwd, env = {} }: RunOptions): ChildProcess {
  const [program = '', ...args] = [...asUser(uid), ...cliCommand(words)];
  return spawn(program, args, {
    env: { PATH: process.env.PATH, HOME: home, XDG_CONFIG_HOME: home, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 300_000,
    ...(cwd === undefined ? {} : { cwd }),
  });
}

/** The checkout may lie where another user may not look, such as /root: it may read there, and nothing else. */
function asUser(uid: number | undefined): readonly string[] {
  if (uid === undefined) return [];
  const readOnly = ['--inh-caps', '+dac_read_search', '--ambient-caps', '+dac_read_search'];
  return ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups', ...readOnly, '--'];
}

export function cli(words: readonly string[], options: RunOptions): Promise<Ran> {
  return ended(startCli(words, options));
}

/** What a call has printed when it is over. */
export function ended(child: ChildProcess): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => err.push(chunk));
    child.on('error', reject);
    child.on('close', (code) =>
      resolve({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }),
    );
  });
}

/** The last line of standard output: where capture says the bundle is. */
export function lastLine({ stdout }: Ran): string {
  return stdout.trimEnd().split('\n').at(-1) ?? '';
}
