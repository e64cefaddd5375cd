// Starts a program that serves HTTP on a free port of 127.0.0.1 in a temporary folder, and takes both away again.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { didNotStart, endDaemon, runs, spawnDaemon } from './daemon.ts';

const START_MILLISECONDS = 60_000;
const STOP_MILLISECONDS = 10_000;
/** A port that was free can be taken by another before the program has it. */
const TRIES = 3;

/** Whatever ends what was started in it: a test, or `{ after }` of node:test for a whole file. */
export interface Scope {
  after(stop: () => Promise<void>): void;
}

export interface Daemon {
  /** `http://127.0.0.1:PORT`, no slash after it. */
  readonly endpoint: string;
  readonly pid: number;
  /** Its own, with what it printed in `log`. */
  readonly directory: string;
  /** A second call does nothing. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when it has ended. What it keeps in its folder stays. */
  kill(): Promise<void>;
  /** Starts it again after that, on the same port; serves when it resolves. */
  start(): Promise<void>;
}

export interface Program {
  /** On the path, or a file. */
  readonly name: string;
  /** Its arguments; `directory` is its own, empty and there. */
  args(port: number, directory: string): Promise<readonly string[]>;
  /** A path that it answers with 200 once it serves, best one that no other program would. */
  readonly readyPath: string;
}

export async function startDaemon(scope: Scope, program: Program): Promise<Daemon> {
  for (let tries = 1; ; tries++) {
    const directory = await mkdtemp('/tmp/imp-');
    try {
      const port = await freePort();
      const words = await program.args(port, directory);
      let child = await spawnDaemon(directory, program.name, words);
      const stop = async (): Promise<void> => {
        await endDaemon(child, STOP_MILLISECONDS);
        await rm(directory, { recursive: true, force: true });
      };
      const endpoint = `http://127.0.0.1:${port}`;
      if (await serves(child, `${endpoint}${program.readyPath}`)) {
        scope.after(stop);
        return {
          ...{ endpoint, directory, stop },
          get pid() {
            return child.pid ?? 0;
          },
          async kill() {
            const ended = runs(child) ? once(child, 'exit') : undefined;
            child.kill('SIGKILL');
            await ended;
          },
          async start() {
            if (runs(child)) return;
            child = await spawnDaemon(directory, program.name, words);
            if (!(await serves(child, `${endpoint}${program.readyPath}`)))
              throw await didNotStart(directory, program.name);
          },
        };
      }
      await endDaemon(child, STOP_MILLISECONDS);
      if (tries === TRIES) throw await didNotStart(directory, program.name);
      await stop();
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port of 127.0.0.1 is free');
  return address.port;
}

async function serves(child: ChildProcess, url: string): Promise<boolean> {
  const until = Date.now() + START_MILLISECONDS;
  while (runs(child) && Date.now() < until) {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) }).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok) return runs(child);
    await sleep(20);
  }
  return false;
}
