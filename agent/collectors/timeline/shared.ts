// What the timeline's two threads share: which trees are walked, the messages, and a few counters.
import type { Gap } from '../../../evidence/index.ts';

/** A folder to be walked. */
export interface TimelineTree {
  /** Put before each name: "" for the host's root, "container:ID" for a container's upper directory. */
  readonly prefix: string;
  /** Path below the order's root. */
  readonly path: string;
  /** What it is called in gaps. */
  readonly label: string;
  /** Whose upper directory it is. */
  readonly container?: string;
}

export interface TimelineOrder {
  readonly root: string;
  readonly trees: readonly TimelineTree[];
  /** As this process sees them: not entered, and a gap says so. */
  readonly leaveOut: readonly string[];
  /** As this process sees them, one character a byte: not entered, since another tree or collector has them. */
  readonly elsewhere: readonly string[];
  /** Items of all trees together. */
  readonly items: number;
  /** Of `COUNTERS` 32-bit integers. */
  readonly counters: SharedArrayBuffer;
}

/** A regular file that gives its caller rights: set-user-id or set-group-id. */
export interface SetIdFile {
  readonly tree: number;
  /** Below the tree, raw bytes. */
  readonly path: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly inode: string;
  readonly device: string;
  /** Milliseconds since the epoch. */
  /** Nanoseconds since the epoch. */
  readonly mtime: bigint;
  readonly ctime: bigint;
  readonly sha256?: string;
}

export type TimelineMessage =
  | {
      readonly kind: 'chunk';
      readonly text: Uint8Array;
      readonly setId: readonly SetIdFile[];
      /** Executable regular files by tree, below it: the only ones whose capabilities the kernel looks at. */
      readonly executables: readonly { readonly tree: number; readonly path: string }[];
      readonly gaps: readonly Gap[];
    }
  /** Items given by each tree. */
  | { readonly kind: 'end'; readonly counts: readonly number[]; readonly gaps: readonly Gap[] };

export const COUNTERS = 2;
/** Chunks the worker may still send; it sleeps on this one. */
export const CREDIT = 0;
/** Not 0 once the walk is to stop. */
export const STOP = 1;
