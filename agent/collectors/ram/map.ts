// Which part of /proc/kcore holds which physical memory: the direct map's segments against the ranges of /proc/iomem.
import type { PhysicalRange } from './iomem.ts';
import type { Load } from './kcore.ts';

/** A stretch of physical memory, `end` its last byte, and where it stands in the file. */
export interface RamPiece extends PhysicalRange {
  readonly offset: bigint;
}

export interface RamMap {
  readonly pieces: readonly RamPiece[];
  /** Ranges that no segment holds. */
  readonly missing: readonly PhysicalRange[];
}

/** The kernel's text is mapped twice: where several segments hold an address, the one that reaches furthest is taken. */
export function mapRam(ranges: readonly PhysicalRange[], loads: readonly Load[]): RamMap {
  const pieces: RamPiece[] = [];
  const missing: PhysicalRange[] = [];
  for (const { start, end } of ranges) {
    for (let at = start; at <= end; ) {
      const here = best(loads, at);
      const until = min(end, here === undefined ? next(loads, at, end) - 1n : here.physical + here.size - 1n);
      if (here === undefined) missing.push({ start: at, end: until });
      else pieces.push({ start: at, end: until, offset: here.offset + (at - here.physical) });
      at = until + 1n;
    }
  }
  return { pieces, missing };
}

/** The same pieces, in groups of at most `bytes`: what is larger is cut. */
export function segmentsOf(pieces: readonly RamPiece[], bytes: bigint): readonly (readonly RamPiece[])[] {
  const segments: RamPiece[][] = [];
  let left = 0n;
  for (const { start, end, offset } of pieces) {
    for (let at = start; at <= end; ) {
      if (left === 0n) {
        segments.push([]);
        left = bytes;
      }
      const until = min(end, at + left - 1n);
      segments.at(-1)?.push({ start: at, end: until, offset: offset + (at - start) });
      left -= until - at + 1n;
      at = until + 1n;
    }
  }
  return segments;
}

function best(loads: readonly Load[], at: bigint): Load | undefined {
  let found: Load | undefined;
  for (const load of loads) {
    const end = load.physical + load.size;
    if (load.physical > at || end <= at) continue;
    if (found === undefined || end > found.physical + found.size) found = load;
  }
  return found;
}

/** Where the next segment begins, or past the end. */
function next(loads: readonly Load[], at: bigint, end: bigint): bigint {
  return loads.reduce((found, { physical }) => (physical > at ? min(found, physical) : found), end + 1n);
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
