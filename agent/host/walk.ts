// One walk over /proc for all collectors: a worker reads each process once, the main thread hands on what it read.
import { Worker } from 'node:worker_threads';
import { describeError, type Gap, workerScript } from '../../evidence/index.ts';
import type { Host } from './host.ts';
import type { ContainerIdentity } from './identity.ts';
import { type PackedBatch, type ProcFile, unpackFiles } from './walk/batch.ts';
import { MEMORY_FILES } from './walk/files.ts';
import type { HeldFile } from './walk/maps.ts';
import { COUNTERS, CREDIT, NAME, NAMES, PID, PROGRESS, type WalkMessage, type WalkOrder } from './walk/shared.ts';

export type { HeldFile, ProcFile };

export interface ProcessSummary {
  readonly pid: number;
  /** Start time in clock ticks since boot, field 22 of proc_pid_stat(5): with the PID it names a process for good. */
  readonly startTicks: string;
  readonly comm: string;
  /** Target of /proc/PID/exe, lossy text; undefined for kernel threads and where it was denied. */
  readonly exe?: string;
  /** "MAJOR:MINOR INODE" of the executable as maps shows it. */
  readonly exeFile?: string;
  /** Inode of its network namespace. */
  readonly netns?: number;
  /** Inode of its mount namespace. */
  readonly mntns?: number;
  /** Inodes of the sockets it holds, with the descriptor. */
  readonly sockets: readonly { readonly fd: number; readonly inode: number }[];
  readonly container?: ContainerIdentity;
  readonly parent?: number;
  readonly kernelThread?: boolean;
  /** Files it holds that may be had nowhere else. */
  readonly held?: readonly HeldFile[];
}

/** One process with what was read of it: stat, status, …, "fd/7", "task/17/comm", each below /proc/PID. */
export interface ProcessRecord {
  readonly summary: ProcessSummary;
  readonly files: readonly ProcFile[];
  /** Milliseconds since the epoch. */
  readonly readAt: number;
}

export interface ProcessWalk {
  /** Every process seen, when the walk has ended; starts it where nobody has. */
  index(): Promise<readonly ProcessSummary[]>;
  /**
   * The raw files, for one consumer, at its pace: the walk waits for it, and index() with it. Only of a walk that was
   * made with `raw`. Who stops reading lets the rest of the walk go on for the index.
   */
  records(): AsyncGenerator<ProcessRecord>;
  /** What could not be had, complete when the walk has ended. Declared by the processes collector. */
  gaps(): readonly Gap[];
  /** True where a thread waits for good for what a process would not show: the program then cannot end as usual. */
  leftBehind(): boolean;
}

export interface WalkOptions {
  /** Also read the raw files: somebody is going to read records(). */
  readonly raw: boolean;
  readonly signal: AbortSignal;
  /** Only these PIDs, listed or not. */
  readonly pids?: readonly number[];
}

const BATCHES_IN_FLIGHT = 4;
/** A read that takes longer is left behind with its thread, and the walk goes on without it. */
const STALL_MILLISECONDS = 2000;
/** Then nothing is read any more of what a process can make us wait for. */
const MAX_STALLS = 3;

/** The walk starts with the first call of index() or records(); its thread ends with it or with the signal. */
export function startWalk(host: Host, options: WalkOptions): ProcessWalk {
  const walk = new Walk(host, options);
  return {
    index: () => walk.index(),
    records: () => walk.records(),
    gaps: () => walk.gaps,
    leftBehind: () => walk.leftBehind,
  };
}

class Walk {
  readonly gaps: Gap[] = [];
  readonly #options: WalkOptions;
  readonly #proc: string;
  readonly #summaries: ProcessSummary[] = [];
  readonly #ended = Promise.withResolvers<void>();
  readonly #batches: PackedBatch[] = [];
  readonly #skip: string[] = [];
  readonly #mountNamespaces: string[] = [];
  #waiting: number[] | undefined;
  #counters = new Int32Array(new SharedArrayBuffer(COUNTERS * 4));
  #worker: Worker | undefined;
  #watch: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;
  #consumer: 'none' | 'reading' | 'gone' = 'none';
  #done = false;

  constructor(host: Host, options: WalkOptions) {
    this.#options = options;
    this.#proc = host.proc;
  }

  async index(): Promise<readonly ProcessSummary[]> {
    this.#start();
    await this.#ended.promise;
    return this.#summaries;
  }

  async *records(): AsyncGenerator<ProcessRecord> {
    if (!this.#options.raw || this.#consumer !== 'none') throw new Error('records() is for one consumer of a raw walk');
    this.#consumer = 'reading';
    this.#start();
    try {
      for (;;) {
        const batch = this.#batches.shift();
        if (batch !== undefined) {
          for (const process of batch.processes) {
            yield { summary: process.summary, files: unpackFiles(batch, process), readAt: process.readAt };
          }
          this.#credit();
        } else if (this.#done) {
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      this.#consumer = 'gone';
      for (const _ of this.#batches.splice(0)) this.#credit();
      this.#credit();
    }
  }

  #start(): void {
    if (this.#worker !== undefined || this.#done) return;
    const { signal } = this.#options;
    if (signal.aborted) {
      this.#abort();
      return;
    }
    signal.addEventListener('abort', () => this.#abort(), { once: true });
    this.#spawn(this.#options.pids);
    let last = -1;
    this.#watch = setInterval(() => {
      const progress = Atomics.load(this.#counters, PROGRESS);
      if (progress === last && progress > 0) this.#stalled();
      last = Atomics.load(this.#counters, PROGRESS);
    }, STALL_MILLISECONDS).unref();
  }

  #spawn(pids: readonly number[] | undefined): void {
    this.#counters = new Int32Array(new SharedArrayBuffer(COUNTERS * 4));
    this.#counters[CREDIT] = Math.max(1, BATCHES_IN_FLIGHT - this.#batches.length);
    const order: WalkOrder = {
      proc: this.#proc,
      raw: this.#options.raw,
      ...(pids === undefined ? {} : { pids }),
      skip: this.#skip,
      mountNamespaces: this.#mountNamespaces,
      counters: this.#counters.buffer as SharedArrayBuffer,
    };
    const worker = new Worker(workerScript('./walk-worker', import.meta.url), { workerData: order });
    this.#worker = worker;
    worker.on('message', (message: WalkMessage) => {
      if (worker === this.#worker) this.#receive(message);
    });
    worker.on('error', (error) => {
      if (worker === this.#worker) this.#fail(describeError(error));
    });
    worker.on('exit', () => {
      if (worker === this.#worker && !this.#done) this.#fail('its thread ended early');
    });
  }

  #receive(message: WalkMessage): void {
    if (message.kind === 'listed') {
      this.#waiting = [...message.pids];
      return;
    }
    this.gaps.push(...message.gaps);
    if (message.kind === 'end') {
      this.#end();
      return;
    }
    for (const { summary, gaps } of message.batch.processes) {
      this.#summaries.push(summary);
      this.gaps.push(...gaps);
    }
    if (this.#options.raw && this.#consumer !== 'gone') {
      this.#batches.push(message.batch);
      this.#notify();
    } else {
      this.#credit();
    }
  }

  get leftBehind(): boolean {
    return this.#skip.length > 0;
  }

  /** The thread cannot be woken out of a system call: it is left behind, and another goes on where it stood. */
  #stalled(): void {
    const pid = this.#counters[PID] ?? 0;
    const name = NAMES[this.#counters[NAME] ?? 0] ?? 'its files';
    const skipped = `${pid} ${name}`;
    if (this.#waiting === undefined || this.#skip.includes(skipped)) {
      this.#fail(`no answer while reading pid ${pid}`);
      return;
    }
    this.#skip.push(skipped);
    if (this.#skip.length >= MAX_STALLS) this.#skip.push(...MEMORY_FILES.map((file) => `* ${file}`));
    const read = new Set(this.#summaries.map((summary) => summary.pid));
    const rest = this.#waiting.filter((waiting) => !read.has(waiting));
    const nameless = name === NAMES[0];
    if (nameless) this.gaps.push({ reason: 'timeout', name: `pid ${pid}`, detail: 'reading it did not come back' });
    this.#leave();
    this.#spawn(nameless ? rest.filter((waiting) => waiting !== pid) : rest);
  }

  #abort(): void {
    if (this.#done) return;
    this.gaps.push({ reason: 'aborted', name: 'the walk over /proc', detail: 'stopped before it had ended' });
    this.#end();
  }

  #fail(detail: string): void {
    if (this.#done) return;
    this.gaps.push({ reason: 'failed', name: 'the walk over /proc', detail });
    this.#end();
  }

  #end(): void {
    this.#done = true;
    clearInterval(this.#watch);
    this.#leave();
    this.#ended.resolve();
    this.#notify();
  }

  #leave(): void {
    const worker = this.#worker;
    this.#worker = undefined;
    worker?.unref();
    void worker?.terminate();
  }

  #credit(): void {
    Atomics.add(this.#counters, CREDIT, 1);
    Atomics.notify(this.#counters, CREDIT);
  }

  #notify(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
