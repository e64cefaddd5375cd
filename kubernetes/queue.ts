// Keys that wait to be worked on: each once, never two runs of one at the same time, failed ones later and later.
import { describeError, ImpoundError, type Logger } from '../evidence/index.ts';
import { type Backoff, waitAfter } from './backoff.ts';

const BACKOFF: Backoff = { first: 50, most: 30_000 };
/** What setTimeout takes; a longer wait ends early, and whoever works asks for the rest. */
const MAX_WAIT = 2 ** 31 - 1;

export interface Done {
  /** Milliseconds until the key is to be looked at again, though nothing changed. */
  readonly after?: number;
}

export interface QueueOptions {
  /** Works on one key to its end. What it throws is logged, and the key comes again after a growing wait. */
  work(key: string): Promise<Done | undefined>;
  /** How many keys are worked on at the same time. */
  readonly concurrency: number;
  readonly log: Logger;
  /** Waits after failures: 50 ms to 30 s where absent. */
  readonly backoff?: Backoff;
  readonly random?: () => number;
}

export interface WorkQueue {
  /** At the next chance; of a key that is being worked on, once more after that. */
  add(key: string): void;
  /** As `add`, after that many milliseconds; of several waits of one key the one that ends first counts. */
  addAfter(key: string, milliseconds: number): void;
  /** Takes no more keys, forgets those that wait, and resolves when what runs has ended. Never rejects. */
  stop(): Promise<void>;
  /** Keys that could be worked on now. */
  readonly waiting: number;
  /** Keys that are being worked on. */
  readonly running: number;
}

interface Wait {
  readonly timer: NodeJS.Timeout;
  readonly until: number;
}

export function workQueue({ work, concurrency, log, backoff = BACKOFF, random }: QueueOptions): WorkQueue {
  const ready = new Set<string>();
  const running = new Map<string, Promise<void>>();
  /** Added while they were being worked on. */
  const again = new Set<string>();
  const waits = new Map<string, Wait>();
  const failures = new Map<string, number>();
  let stopped = false;

  const add = (key: string): void => {
    if (stopped) return;
    if (running.has(key)) again.add(key);
    else ready.add(key);
    start();
  };

  const addAfter = (key: string, milliseconds: number): void => {
    if (stopped) return;
    if (!(milliseconds > 0)) {
      add(key);
      return;
    }
    const wait = Math.min(milliseconds, MAX_WAIT);
    const until = performance.now() + wait;
    const before = waits.get(key);
    if (before !== undefined && before.until <= until) return;
    clearTimeout(before?.timer);
    const timer = setTimeout(() => {
      waits.delete(key);
      add(key);
    }, wait);
    waits.set(key, { timer, until });
  };

  const start = (): void => {
    for (const key of ready) {
      if (running.size >= concurrency) return;
      ready.delete(key);
      running.set(key, run(key));
    }
  };

  const run = async (key: string): Promise<void> => {
    await undefined; // so that `running` has it, also where `work` adds the key at once
    try {
      const done = await work(key);
      failures.delete(key);
      if (done?.after !== undefined) addAfter(key, done.after);
    } catch (error) {
      const failed = (failures.get(key) ?? 0) + 1;
      failures.set(key, failed);
      const wait = waitAfter(failed, backoff, random);
      const code = error instanceof ImpoundError ? error.code : undefined;
      // somebody else wrote first, which is ordinary: the next run reads what they wrote
      const level = code === 'api-conflict' && failed === 1 ? 'debug' : 'warn';
      log[level]('work failed', { key, code, error: describeError(error), failed, wait: Math.round(wait) });
      addAfter(key, wait);
    } finally {
      running.delete(key);
      if (again.delete(key) && !stopped) ready.add(key);
      if (!stopped) start();
    }
  };

  return {
    add,
    addAfter,
    async stop() {
      stopped = true;
      ready.clear();
      again.clear();
      for (const { timer } of waits.values()) clearTimeout(timer);
      waits.clear();
      await Promise.all(running.values());
    },
    get waiting() {
      return ready.size;
    },
    get running() {
      return running.size;
    },
  };
}
