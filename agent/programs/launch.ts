// One child process with its bounds: a deadline, a number of bytes, an end that always comes.
import { type ChildProcess, spawn } from 'node:child_process';

/** Why a program did not give all: it is missing, ended badly, or a bound was met. `why` is a gap's detail. */
export interface Ending {
  readonly kind: 'done' | 'missing' | 'failed' | 'timeout' | 'truncated' | 'vanished' | 'aborted';
  /** For `done` what it wrote to standard error. */
  readonly why: string;
}

export interface Running {
  /** Standard output as it comes. */
  readonly stdout: AsyncIterable<Uint8Array>;
  /** Resolves once the program has ended and its output has been read or given up; never rejects. */
  readonly ended: Promise<Ending>;
  /** Asks it to end (SIGTERM), so that it can finish what it writes; it is killed where it does not within 3 s. */
  stop(): void;
}

export interface LaunchOptions {
  readonly signal: AbortSignal;
  readonly seconds: number;
  readonly bytes: number;
  /** Becomes its descriptor 3; stays the caller's to close. */
  readonly descriptor?: number;
  /** Told of the process once it runs. */
  readonly started: (pid: number) => void;
}

const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' };
const STDERR_BYTES = 2000;
const GRACE_MILLISECONDS = 3000;
/** Once killed, a process that waits in the kernel for good (state D) is not waited for any longer. */
const FAREWELL_MILLISECONDS = 2000;

export function launch(path: string, args: readonly string[], options: LaunchOptions): Running {
  const { signal, seconds, bytes } = options;
  if (signal.aborted) return notStarted('aborted', 'the capture was stopped');
  const spawned = spawnChild(path, args, options.descriptor);
  if (spawned.kind === 'failed') return notStarted('failed', spawned.why);
  const { child } = spawned;
  if (child.pid !== undefined) options.started(child.pid);
  const timers: NodeJS.Timeout[] = [];
  const gone = Promise.withResolvers<void>();
  let stopped: Ending | undefined;
  const kill = (kind: Ending['kind'], why: string): void => {
    stopped ??= { kind, why };
    killGroup(child);
    // what left its group may hold the pipes open
    child.stdout?.destroy();
    child.stderr?.destroy();
    timers.push(setTimeout(gone.resolve, FAREWELL_MILLISECONDS));
  };
  const aborted = (): void => kill('aborted', 'the capture was stopped');
  timers.push(setTimeout(() => kill('timeout', `${path} was not done after ${seconds} s`), seconds * 1000));
  signal.addEventListener('abort', aborted, { once: true });
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString('utf8')).slice(0, STDERR_BYTES);
  });
  child.stderr?.on('error', () => undefined); // only what it says is lost
  const closed = new Promise<Ending>((resolve) => {
    child.on('error', (error) => resolve({ kind: 'failed', why: error.message }));
    child.on('close', (code, by) => resolve(stopped ?? endingOf(path, code, by, complaint)));
    void gone.promise.then(() => resolve(stopped ?? { kind: 'failed', why: `${path} did not end` }));
  });
  const ended = closed.finally(() => {
    for (const timer of timers) clearTimeout(timer);
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
        if (kept.length < (chunk as Buffer).length) return kill('truncated', `limit of ${bytes} bytes of output`);
      }
      whole = true;
    } catch (error) {
      if (stopped === undefined) throw error; // else: its output was cut on purpose
    } finally {
      if (!whole) kill('aborted', 'its output was not read to the end');
    }
  }
  return {
    stdout: stdout(),
    ended,
    stop() {
      child.kill('SIGTERM');
      const why = `${path} did not end when it was asked to`;
      timers.push(setTimeout(() => kill('timeout', why), GRACE_MILLISECONDS));
    },
  };
}

export function notStarted(kind: Ending['kind'], why: string): Running {
  async function* nothing(): AsyncGenerator<Uint8Array> {}
  return { stdout: nothing(), ended: Promise.resolve({ kind, why }), stop() {} };
}

function spawnChild(
  path: string,
  args: readonly string[],
  descriptor: number | undefined,
): { readonly kind: 'child'; readonly child: ChildProcess } | { readonly kind: 'failed'; readonly why: string } {
  try {
    const stdio = ['ignore', 'pipe', 'pipe', descriptor ?? 'ignore'] as const;
    return {
      kind: 'child',
      child: spawn(path, args, { env: ENVIRONMENT, cwd: '/', stdio: [...stdio], detached: true }),
    };
  } catch (error) {
    return { kind: 'failed', why: error instanceof Error ? error.message : String(error) };
  }
}

/** It leads a group of its own, with all it started. Once it has ended its number may be another's: then it is left. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL');
  }
}

function endingOf(path: string, code: number | null, by: string | null, complaint: string): Ending {
  if (code === 0) return { kind: 'done', why: complaint.trim() };
  const said = complaint.trim().split('\n')[0] ?? '';
  return { kind: 'failed', why: `${path} ended with ${code ?? by}${said === '' ? '' : `: ${said}`}` };
}
