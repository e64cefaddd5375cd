// A daemon of the bed: it can be killed, started again with the same words, stopped in its tracks and let go on.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { findProgram } from '../probe.ts';

export interface Daemon {
  readonly name: string;
  /** Path of what it printed, of every start. */
  readonly log: string;
  readonly pid: number;
  readonly runs: boolean;
  /** Starts it again after it ended. */
  start(): Promise<void>;
  /** Resolves when it has ended, to its exit code (null where a signal ended it). */
  kill(signal?: NodeJS.Signals): Promise<number | null>;
  /** Resolves when it ends by itself, to its exit code. */
  ended(): Promise<number | null>;
  /** SIGSTOP: it holds its connections, and is silent. */
  pause(): void;
  resume(): void;
}

/** `words` are the program and its arguments. It ends with this process, however that ends. */
export async function startDaemon(
  name: string,
  log: string,
  words: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Daemon> {
  let child = await launch(log, words, env);
  const runs = (): boolean => child.pid !== undefined && child.exitCode === null && child.signalCode === null;
  const ended = async (): Promise<number | null> => {
    if (runs()) await once(child, 'exit');
    return child.exitCode;
  };
  /** Two who start it at once start it once: of another, nobody would know. */
  let starting: Promise<void> | undefined;
  const start = async (): Promise<void> => {
    if (!runs()) child = await launch(log, words, env);
  };
  return {
    name,
    log,
    get pid() {
      return child.pid ?? 0;
    },
    get runs() {
      return runs();
    },
    start() {
      starting ??= start().finally(() => {
        starting = undefined;
      });
      return starting;
    },
    kill(signal = 'SIGKILL') {
      const end = ended();
      child.kill(signal);
      return end;
    },
    ended,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
  };
}

/** In a session of its own, so that an interrupt from the terminal reaches only this process, which ends them in order. */
async function launch(log: string, words: readonly string[], env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const file = await open(log, 'a');
  const [program = '', ...args] = untilThisProcessEnds(words);
  const child = spawn(program, args, { stdio: ['ignore', file.fd, file.fd], detached: true, env });
  child.on('error', () => undefined); // whoever waits for it sees that it never answers
  await file.close();
  return child;
}

/** `words` as a child of this process that is killed when it ends, however it ends; without setpriv(1) it may stay. */
export function untilThisProcessEnds(words: readonly string[]): readonly string[] {
  const setpriv = findProgram('setpriv');
  return setpriv === undefined ? words : [setpriv, '--pdeathsig', 'KILL', ...words];
}
