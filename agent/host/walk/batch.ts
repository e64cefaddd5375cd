// Processes on their way from the worker to the main thread: one buffer with all bytes, and where each file is in it.
import type { Gap } from '../../../evidence/index.ts';
import type { ProcessSummary } from '../walk.ts';

export type ProcFileKind = 'file' | 'link';

/** One file or link of a process; `name` is below /proc/PID. `left`: bytes that the bound cut off. */
export interface ProcFile {
  readonly name: string;
  readonly kind: ProcFileKind;
  readonly bytes: Uint8Array;
  readonly left: number;
}

/** One process as it crosses the threads: `spans` has start, end, kind (0 file, 1 link) and left of each name. */
export interface PackedProcess {
  readonly summary: ProcessSummary;
  readonly names: readonly string[];
  readonly spans: Float64Array;
  readonly gaps: readonly Gap[];
  readonly readAt: number;
}

export interface PackedBatch {
  readonly bytes: Uint8Array;
  readonly processes: readonly PackedProcess[];
}

const INITIAL_BYTES = 512 * 1024;

/** Collects files until `take` is called; the buffer then belongs to the receiver. */
export class BatchWriter {
  #bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #used = 0;
  #processes: PackedProcess[] = [];
  #names: string[] = [];
  #spans: number[] = [];

  get used(): number {
    return this.#used;
  }

  get processes(): number {
    return this.#processes.length;
  }

  add(name: string, kind: ProcFileKind, bytes: Uint8Array, left = 0): void {
    const end = this.#used + bytes.length;
    if (end > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(end, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, this.#used));
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, this.#used);
    this.#names.push(name);
    this.#spans.push(this.#used, end, kind === 'file' ? 0 : 1, left);
    this.#used = end;
  }

  /** Ends the process whose files were added since the last one. */
  endProcess(summary: ProcessSummary, gaps: readonly Gap[]): void {
    const spans = Float64Array.from(this.#spans);
    this.#processes.push({ summary, names: this.#names, spans, gaps, readAt: Date.now() });
    this.#names = [];
    this.#spans = [];
  }

  take(): PackedBatch {
    const batch = { bytes: this.#bytes.subarray(0, this.#used), processes: this.#processes };
    this.#bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
    this.#used = 0;
    this.#processes = [];
    return batch;
  }
}

/** The files of a process in a batch; their bytes are views into it. */
export function unpackFiles(batch: PackedBatch, process: PackedProcess): readonly ProcFile[] {
  const { spans } = process;
  return process.names.map((name, index) => {
    const at = index * 4;
    return {
      name,
      kind: spans[at + 2] === 0 ? 'file' : 'link',
      bytes: batch.bytes.subarray(spans[at], spans[at + 1]),
      left: spans[at + 3] ?? 0,
    };
  });
}
