// One process' memory, read by a thread that is left behind, and followed by another, where a read does not come back.
import { Worker } from 'node:worker_threads';
import { describeError, type Gap, workerScript } from '../../../evidence/index.ts';
import {
  AT_PAGE,
  COUNTERS,
  type Layout,
  LENGTH,
  type MemoryMessage,
  type MemoryOrder,
  PROGRESS,
  type Unreadable,
  WANTED,
} from './shared.ts';

/** Pieces that are asked for before the first of them is taken. */
const AHEAD = 2;
/** Looked at this often: a read that shows no progress from one look to the next is stuck. */
const STALL_MILLISECONDS = 5000;
/** Threads that are left behind for one process; then the rest of it is left. */
const MAX_LEFT_BEHIND = 4;

export interface MemorySource {
  readonly proc: string;
  readonly pid: number;
  readonly startTicks: string;
  /** Bytes that may be stored. */
  readonly bytes: number;
  /** Threads that may be left behind, one at least. */
  readonly threads: number;
}

export interface Piece {
  readonly bytes: Uint8Array;
  readonly unreadable: readonly Unreadable[];
}

/** Why the content ended before its end. */
export type Cut = 'gone' | 'stuck' | { readonly failed: string };

export interface ProcessMemory {
  readonly layout: Layout;
  /** The stored segments one after the other, for one consumer. The value returned says why it ended early. */
  pieces(): AsyncGenerator<Piece, Cut | undefined>;
  /** Ends the thread. */
  end(): void;
  /** Threads that hang in a read for good. */
  readonly leftBehind: number;
}

/** Why a process' memory could not even be listed. */
export interface NoMemory {
  readonly gap: Gap;
  readonly leftBehind: number;
}

/** Lists the memory of a process; the gap says why there is none to be had. Never rejects. */
export async function openMemory(source: MemorySource): Promise<ProcessMemory | NoMemory> {
  const reader = new Reader(source);
  const answer = await reader.receive();
  if (typeof answer === 'object' && answer.kind === 'layout') return reader.start(answer.layout);
  reader.end();
  const name = `pid ${source.pid} memory`;
  if (typeof answer === 'object' && answer.kind === 'failed') return { gap: answer.gap, leftBehind: 0 };
  const detail = 'listing it did not come back: the process is stuck, or makes whoever looks at its memory wait';
  if (answer === 'stuck') return { gap: { reason: 'timeout', name, detail }, leftBehind: 1 };
  return { gap: { reason: 'failed', name, detail: 'its thread ended early' }, leftBehind: 0 };
}

type Answer = MemoryMessage | 'stuck' | 'ended';

class Reader implements ProcessMemory {
  readonly #source: MemorySource;
  readonly #answers: Answer[] = [];
  readonly #skip: { readonly from: number; readonly to: number }[] = [];
  #layout: Layout | undefined;
  #counters = new Int32Array(new SharedArrayBuffer(COUNTERS * 4));
  #worker: Worker | undefined;
  #watch: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;
  #position = 0;
  leftBehind = 0;

  constructor(source: MemorySource) {
    this.#source = source;
    this.#spawn(undefined);
  }

  get layout(): Layout {
    if (this.#layout === undefined) throw new Error('no layout before start');
    return this.#layout;
  }

  start(layout: Layout): this {
    this.#layout = layout;
    return this;
  }

  async *pieces(): AsyncGenerator<Piece, Cut | undefined> {
    try {
      this.#ask(AHEAD);
      for (;;) {
        const answer = await this.receive();
        if (answer === 'stuck') {
          if (this.leftBehind >= Math.min(MAX_LEFT_BEHIND, this.#source.threads)) return 'stuck';
          this.#goOn();
          continue;
        }
        if (answer === 'ended') return { failed: 'its reading was stopped' };
        if (answer.kind === 'bytes') {
          this.#position += answer.bytes.length;
          this.#ask(1);
          yield answer;
        } else if (answer.kind === 'end') {
          return answer.gone ? 'gone' : undefined;
        } else if (answer.kind === 'failed') {
          return answer.gap.reason === 'vanished' ? 'gone' : { failed: answer.gap.detail ?? answer.gap.reason };
        }
      }
    } finally {
      this.end();
    }
  }

  end(): void {
    clearInterval(this.#watch);
    this.#leave();
    this.#receive('ended'); // who waits for an answer must not wait for good
  }

  /** The next answer of the thread, or that there is none. */
  async receive(): Promise<Answer> {
    for (;;) {
      const answer = this.#answers.shift();
      if (answer !== undefined) return answer;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #spawn(resume: MemoryOrder['resume']): void {
    const { proc, pid, startTicks, bytes } = this.#source;
    this.#counters = new Int32Array(new SharedArrayBuffer(COUNTERS * 4));
    // the listing, or the opening once more, is asked for
    this.#counters[WANTED] = 1;
    const counters = this.#counters.buffer as SharedArrayBuffer;
    const order: MemoryOrder = { proc, pid, startTicks, bytes, counters, ...(resume === undefined ? {} : { resume }) };
    const worker = new Worker(workerScript('./reader-worker', import.meta.url), { workerData: order });
    this.#worker = worker;
    const receive = (answer: Answer): void => {
      if (worker === this.#worker) this.#receive(answer);
    };
    const failed = (detail: string): void => {
      receive({ kind: 'failed', gap: { reason: 'failed', name: `pid ${pid} memory`, detail } });
    };
    worker.on('message', receive);
    worker.on('error', (error) => failed(describeError(error)));
    worker.on('exit', () => failed('its thread ended early'));
    let last = -1;
    clearInterval(this.#watch);
    this.#watch = setInterval(() => {
      const progress = Atomics.load(this.#counters, PROGRESS);
      if (progress > 0 && progress === last && Atomics.load(this.#counters, WANTED) > 0) this.#stalled();
      last = progress;
    }, STALL_MILLISECONDS);
  }

  #receive(answer: Answer): void {
    this.#answers.push(answer);
    this.#wake?.();
    this.#wake = undefined;
  }

  #ask(pieces: number): void {
    for (let index = 0; index < pieces; index++) {
      Atomics.add(this.#counters, WANTED, 1);
      this.#worker?.postMessage('next');
    }
  }

  #stalled(): void {
    clearInterval(this.#watch);
    this.leftBehind++;
    const from = (this.#counters[AT_PAGE] ?? 0) * (this.#layout?.pageSize ?? 0);
    this.#skip.push({ from, to: from + (this.#counters[LENGTH] ?? 0) });
    this.#leave();
    this.#receive('stuck');
  }

  /** Another thread takes over where the consumer stands; what the first one had sent and nobody took is read again. */
  #goOn(): void {
    const { program, pageSize, segments } = this.layout;
    this.#answers.length = 0;
    this.#spawn({ program, pageSize, segments, position: this.#position, skip: [...this.#skip] });
    this.#ask(AHEAD);
  }

  #leave(): void {
    const worker = this.#worker;
    this.#worker = undefined;
    worker?.unref();
    void worker?.terminate();
  }
}
