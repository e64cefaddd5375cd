// Runs the listed programs: no shell, a clean environment, a deadline, bounded output, and a note of each in footprint.json.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readlinkSync } from 'node:fs';
import type { FootprintItem } from '../context.ts';
import { findProgram, sha256OfFile } from './find.ts';
import { PROGRAMS, type ProgramName } from './list.ts';

/** A network namespace, named by a process in it; the inode says which it must be. */
export interface Place {
  /** "/proc/123/ns/net" as this process sees it. */
  readonly path: string;
  readonly inode: number;
}

export interface RunOptions {
  readonly signal: AbortSignal;
  readonly seconds: number;
  /** Bytes of standard output that are taken; the program is ended there. */
  readonly bytes: number;
  /** Our own where absent. */
  readonly netns?: Place;
}

/** Why a program did not give all: it is missing, ended badly, or a bound was met. `why` is a gap's detail. */
export interface Ending {
  readonly kind: 'done' | 'missing' | 'failed' | 'timeout' | 'truncated' | 'vanished' | 'aborted';
  readonly why: string;
}

export interface Running {
  /** Standard output as it comes. */
  readonly stdout: AsyncIterable<Uint8Array>;
  /** Resolves once the program has ended and its output has been read or given up; never rejects. */
  readonly ended: Promise<Ending>;
}

export interface Programs {
  /** Runs to the end: its output, also where the ending is not `done`. */
  run(name: ProgramName, args: readonly string[], options: RunOptions): Promise<Ending & { readonly stdout: Buffer }>;
  /** For output that is too much to be held. `stdout` must be read. */
  start(name: ProgramName, args: readonly string[], options: RunOptions): Promise<Running>;
}

const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' };
const STDERR_BYTES = 2000;
const VERSION_MILLISECONDS = 5000;

export function programs(footprint: (item: FootprintItem) => void): Programs {
  const known = new Map<ProgramName, Promise<{ readonly path: string } | { readonly why: string }>>();
  const locate = (name: ProgramName): Promise<{ readonly path: string } | { readonly why: string }> => {
    const before = known.get(name);
    if (before !== undefined) return before;
    const located = describe(name, footprint);
    known.set(name, located);
    return located;
  };
  const start: Programs['start'] = async (name, args, options) => {
    const program = await locate(name);
    if ('why' in program) return notStarted('missing', program.why);
    if (options.netns === undefined) return launch(program.path, args, options, undefined, footprint);
    const nsenter = await locate('nsenter');
    if ('why' in nsenter) return notStarted('missing', nsenter.why);
    const namespace = openNamespace(options.netns);
    if (namespace === undefined) return notStarted('vanished', 'the processes of its network namespace have ended');
    try {
      // descriptor 3 of the child: a PID that is given to a new process meanwhile leads nowhere else
      const inside = ['--net=/proc/self/fd/3', '--', program.path, ...args];
      return launch(nsenter.path, inside, options, namespace, footprint);
    } finally {
      closeSync(namespace);
    }
  };
  return {
    start,
    async run(name, args, options) {
      const running = await start(name, args, options);
      const chunks: Uint8Array[] = [];
      for await (const chunk of running.stdout) chunks.push(chunk);
      return { ...(await running.ended), stdout: Buffer.concat(chunks) };
    },
  };
}

/** Finds a program and puts it, with version and digest, into the footprint. */
async function describe(
  name: ProgramName,
  footprint: (item: FootprintItem) => void,
): Promise<{ readonly path: string } | { readonly why: string }> {
  const found = await findProgram(name);
  if (found.kind === 'missing')
    return { why: `${found.why}; lost: ${PROGRAMS.find((spec) => spec.name === name)?.without}` };
  const version = PROGRAMS.find((spec) => spec.name === name)?.version ?? [];
  const printed = version.length === 0 ? undefined : await firstLine(found.path, version);
  const detail = [printed, `sha256:${await sha256OfFile(found.path)}`].filter((part) => part !== undefined).join(', ');
  footprint({ kind: 'program', name: found.path, detail });
  return { path: found.path };
}

async function firstLine(path: string, args: readonly string[]): Promise<string> {
  const options = { signal: AbortSignal.timeout(VERSION_MILLISECONDS), seconds: 5, bytes: STDERR_BYTES };
  const running = launch(path, args, options, undefined, () => undefined);
  const chunks: Uint8Array[] = [];
  for await (const chunk of running.stdout) chunks.push(chunk);
  return (Buffer.concat(chunks).toString('utf8').split('\n')[0] ?? '').slice(0, 200);
}

function launch(
  path: string,
  args: readonly string[],
  { signal, seconds, bytes }: RunOptions,
  namespace: number | undefined,
  footprint: (item: FootprintItem) => void,
): Running {
  const child = spawn(path, args, {
    env: ENVIRONMENT,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe', namespace ?? 'ignore'],
  });
  footprint({ kind: 'process', name: `pid ${child.pid}`, detail: [path, ...args].join(' ') });
  let stopped: Ending | undefined;
  const stop = (kind: Ending['kind'], why: string): void => {
    stopped ??= { kind, why };
    child.kill('SIGKILL');
    // what it started may hold the pipe open
    child.stdout?.destroy();
  };
  const aborted = (): void => stop('aborted', 'the capture was stopped');
  const timer = setTimeout(() => stop('timeout', `${path} was not done after ${seconds} s`), seconds * 1000);
  signal.addEventListener('abort', aborted, { once: true });
  if (signal.aborted) aborted();
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString('utf8')).slice(0, STDERR_BYTES);
  });
  const ended = new Promise<Ending>((resolve) => {
    child.on('error', (error) => resolve({ kind: 'failed', why: error.message }));
    child.on('close', (code, by) => resolve(stopped ?? endingOf(path, code, by, complaint)));
  }).finally(() => {
    clearTimeout(timer);
    signal.removeEventListener('abort', aborted);
  });
  async function* stdout(): AsyncGenerator<Uint8Array> {
    let left = bytes;
    let whole = false;
    try {
      for await (const chunk of child.stdout ?? []) {
        const kept = (chunk as Buffer).subarray(0, left);
        left -= kept.length;
        if (kept.length > 0) yield kept;
        if (kept.length < (chunk as Buffer).length) return stop('truncated', `limit of ${bytes} bytes of output`);
      }
      whole = true;
    } catch (error) {
      if (stopped === undefined) throw error; // else: its output was cut on purpose
    } finally {
      if (!whole) stop('aborted', 'its output was not read to the end');
    }
  }
  return { stdout: stdout(), ended };
}

function endingOf(path: string, code: number | null, by: string | null, complaint: string): Ending {
  if (code === 0) return { kind: 'done', why: complaint.trim() };
  const said = complaint.trim().split('\n')[0] ?? '';
  return { kind: 'failed', why: `${path} ended with ${code ?? by}${said === '' ? '' : `: ${said}`}` };
}

/** Undefined where the namespace behind the path is another one by now. */
function openNamespace({ path, inode }: Place): number | undefined {
  try {
    const fd = openSync(path, 'r');
    if (readlinkSync(`/proc/self/fd/${fd}`) === `net:[${inode}]`) return fd;
    closeSync(fd);
    return undefined;
  } catch {
    return undefined;
  }
}

function notStarted(kind: Ending['kind'], why: string): Running {
  async function* nothing(): AsyncGenerator<Uint8Array> {}
  return { stdout: nothing(), ended: Promise.resolve({ kind, why }) };
}
