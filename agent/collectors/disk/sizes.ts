// How an image is cut into pieces, and how far a bad region is followed. Parameters, so that tests can use small ones.

/** Bytes, counts and milliseconds. `segment` is a multiple of `chunk`, and `chunk` of `unit`. */
export interface Sizes {
  /** Device range of one stored artefact. */
  readonly segment: number;
  /** Read at once, and the most that one zstd frame holds. */
  readonly chunk: number;
  /** What is compared with zero: shorter runs of zeros stay in their frame. */
  readonly unit: number;
  /** Reads in flight: at most half of libuv's four threads, so that a disk that hangs does not stop the store too. */
  readonly reads: number;
  /** After this long without an answer the disk is given up. The kernel's own patience is 30 s and five retries. */
  readonly hung: number;
  /** Spent on reading around bad sectors of one device; after that a chunk with one is given up where it fails. */
  readonly patience: number;
  /** So many chunks in a row without one readable byte, and the chunks after them are left out, ever more. */
  readonly hopeless: number;
  /** Chunks left out at once, at most. */
  readonly leap: number;
}

const MEBIBYTE = 1024 ** 2;

export const SIZES: Sizes = Object.freeze({
  segment: 4096 * MEBIBYTE,
  chunk: 4 * MEBIBYTE,
  unit: MEBIBYTE,
  reads: 2,
  hung: 300_000,
  patience: 600_000,
  hopeless: 8,
  leap: 64,
});
