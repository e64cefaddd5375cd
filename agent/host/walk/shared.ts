// What the walk's two threads share: messages, and a few counters that are seen while the worker is busy.
import type { Gap } from '../../../evidence/index.ts';
import type { PackedBatch } from './batch.ts';
import { MOUNTINFO, PROCESS_FILES } from './files.ts';

export interface WalkOrder {
  readonly proc: string;
  readonly raw: boolean;
  /** Only these; all of /proc where it is absent. */
  readonly pids?: readonly number[];
  /** "PID NAME" of what did not come back before. */
  readonly skip: readonly string[];
  /** Mount namespaces of which mountinfo is had. */
  readonly mountNamespaces: readonly string[];
  /** Of `COUNTERS` 32-bit integers. */
  readonly counters: SharedArrayBuffer;
}

export type WalkMessage =
  | { readonly kind: 'listed'; readonly pids: readonly number[] }
  | { readonly kind: 'batch'; readonly batch: PackedBatch; readonly gaps: readonly Gap[] }
  | { readonly kind: 'end'; readonly gaps: readonly Gap[] };

export const COUNTERS = 4;
/** Batches the worker may still send; it sleeps on this one. */
export const CREDIT = 0;
/** Grows with everything the worker does; `WAITING` while it sleeps for credit. */
export const PROGRESS = 1;
export const PID = 2;
/** Index into NAMES of what it reads. */
export const NAME = 3;

/** Names that can be told apart in a stall; everything else is "its files". */
export const NAMES: readonly string[] = ['its files', MOUNTINFO.name, ...PROCESS_FILES.map(({ name }) => name)];
