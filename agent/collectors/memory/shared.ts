// What the two threads that read a process' memory share: its layout, messages, and counters seen while a read hangs.
import type { Gap } from '../../../evidence/index.ts';

/** A mapping as proc_pid_smaps(5) shows it; addresses and `offset` in bytes. */
export interface Region {
  readonly start: bigint;
  readonly end: bigint;
  /** "rw-p" */
  readonly permissions: string;
  readonly offset: bigint;
  readonly inode: string;
  /** Latin1 text that stands for bytes, newlines as "\012". */
  readonly path: string;
  /** VmFlags, blanks around each: " rd mr io pf ". */
  readonly flags: string;
  /** Bytes that are in memory, swapped out, or in huge pages. */
  readonly resident: number;
}

/** Fields of a segment in `Layout.segments`. */
export const SEGMENT_FIELDS = 4;
/** Index of its region. */
export const REGION = 0;
/** Its first page: address / page size. */
export const FIRST_PAGE = 1;
export const PAGES = 2;
/** STORED, ABSENT or LEFT. */
export const STORED = 3;

/** What is known of a segment's pages. */
export const IS_ABSENT = 0;
export const IS_STORED = 1;
/** They exist, and a limit left them out. */
export const IS_LEFT = 2;

/** A process as it stood when its memory was listed. */
export interface Layout {
  readonly pageSize: number;
  readonly program: Program;
  /** Undefined for a process of 32 bits: its vector has another format than the core has. */
  readonly auxv: Uint8Array | undefined;
  readonly stat: string;
  readonly uid: number;
  readonly gid: number;
  /** Arguments, separated by NUL, cut to what a core has room for. */
  readonly psargs: Uint8Array;
  readonly regions: readonly Region[];
  /** Flat, `SEGMENT_FIELDS` numbers each, ascending addresses. */
  readonly segments: Float64Array;
  readonly counts: LayoutCounts;
  readonly gaps: readonly Gap[];
}

/** Bytes of address space by what became of them. */
export interface LayoutCounts {
  readonly stored: number;
  /**
   * Reserved or mapped, and not in its page table. Of private memory without a file: never touched, or discarded. Pages
   * of files and of shared memory may have a content all the same: written by another process or by write(2), or
   * dropped from this table; a named file's is on its disk.
   */
  readonly untouched: number;
  /** Those of them that belong to memfds, shared memory and deleted files: what they hold is in no core and no file. */
  readonly untouchedDeleted: number;
  readonly device: number;
  /** vvar and vsyscall: the kernel's own clock pages, the same in every process. */
  readonly kernel: number;
  /** Left by a limit of bytes, segments or scanning. */
  readonly left: number;
}

/** Which program a process runs: execve(2) changes it, and the memory with it. */
export interface Program {
  /** Where its link "exe" leads; undefined where it has none. */
  readonly exe: string | undefined;
  /** Its auxiliary vector, getauxval(3): addresses that are drawn anew each time. */
  readonly auxv: Uint8Array;
}

export interface MemoryOrder {
  readonly proc: string;
  readonly pid: number;
  readonly startTicks: string;
  /** Bytes that may be stored. */
  readonly bytes: number;
  /** Of `COUNTERS` 32-bit integers. */
  readonly counters: SharedArrayBuffer;
  /** A reading that another thread began and did not come back from. */
  readonly resume?: {
    readonly program: Program;
    readonly pageSize: number;
    readonly segments: Float64Array;
    /** Bytes of the content that are had. */
    readonly position: number;
    /** Positions in the content, `CHUNK_BYTES` each at most, that are not to be read. */
    readonly skip: readonly { readonly from: number; readonly to: number }[];
  };
}

/** Pages that could not be read, zeros in their place. */
export interface Unreadable {
  readonly start: bigint;
  readonly bytes: number;
  readonly why: 'refused' | 'stuck';
}

export type MemoryMessage =
  | { readonly kind: 'layout'; readonly layout: Layout }
  | { readonly kind: 'failed'; readonly gap: Gap }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly unreadable: readonly Unreadable[] }
  /** Nothing follows: all was read, or the process has ended. */
  | { readonly kind: 'end'; readonly gone: boolean };

export const CHUNK_BYTES = 1024 * 1024;

export const COUNTERS = 4;
/** Grows with everything the worker does. */
export const PROGRESS = 0;
/** Pieces that were asked for and are not answered yet. */
export const WANTED = 1;
/** Of the read that is going on: pages from the start of the content, and bytes. */
export const AT_PAGE = 2;
export const LENGTH = 3;
