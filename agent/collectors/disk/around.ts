// Reads a range that has unreadable sectors in it: up to them, around them, and never for longer than patience lasts.
import { Hung, SMALL_BYTES, type Source } from './source.ts';

/** So many blocks in a row that fail, and what follows is left out: first 64 KiB, then twice as much, … */
const BLOCKS_BEFORE_JUMP = 16;

/** Relative to the range. `tried` is false for what was left out because all before it failed. */
export interface BadRange {
  readonly offset: number;
  readonly length: number;
  readonly tried: boolean;
}

export interface ReadAround {
  /** The whole range; zero where it could not be read. */
  readonly bytes: Buffer;
  /** Ascending, not touching one another unless `tried` differs. */
  readonly bad: readonly BadRange[];
}

/**
 * Reads `length` bytes at `offset`, down to single blocks where reads fail. After a jump that ends on readable ground
 * the way back is read too, until it fails: what stays untried lies between two failures, or `until` (performance.now)
 * had passed. Throws Hung; any other failure is a bad range.
 */
export async function readAround(source: Source, offset: number, length: number, until: number): Promise<ReadAround> {
  const bytes = Buffer.alloc(length);
  const bad: BadRange[] = [];
  const block = source.blockBytes;
  /** Bytes read from `at` on, in whole blocks. */
  const attempt = async (at: number, want: number): Promise<number> => {
    try {
      const got = await source.readSmall(bytes.subarray(at, at + want), offset + at);
      return at + got === length ? got : got - (got % block);
    } catch (error) {
      if (error instanceof Hung) throw error;
      return 0;
    }
  };
  /** The way back from `end` into the last jump. */
  const trim = async (end: number): Promise<void> => {
    const last = bad.at(-1);
    if (last === undefined || last.tried || last.offset + last.length !== end) return;
    let start = end;
    while (start - block >= last.offset && performance.now() < until && (await attempt(start - block, block)) > 0) {
      start -= block;
    }
    bad.pop();
    if (start > last.offset) bad.push({ ...last, length: start - last.offset });
  };
  let at = 0;
  let failures = 0;
  let good = 0;
  let jump = SMALL_BYTES;
  while (at < length) {
    if (performance.now() >= until) {
      mark(bad, { offset: at, length: length - at, tried: false });
      break;
    }
    const careful = failures > 0 || good < BLOCKS_BEFORE_JUMP;
    const want = Math.min(careful ? block : SMALL_BYTES, length - at);
    const got = await attempt(at, want);
    if (got > 0) {
      await trim(at);
      at += got;
      failures = 0;
      jump = SMALL_BYTES;
      good = got === want ? good + 1 : 0;
    } else if (want > block) {
      good = 0;
    } else {
      mark(bad, { offset: at, length: want, tried: true });
      at += want;
      failures++;
      good = 0;
      if (failures % BLOCKS_BEFORE_JUMP === 0 && at < length) {
        const left = Math.min(jump, length - at);
        mark(bad, { offset: at, length: left, tried: false });
        at += left;
        jump *= 2;
        if (at === length) await trim(at);
      }
    }
  }
  return { bytes, bad };
}

/** Adds a range, as part of the last one where it goes on. */
function mark(bad: BadRange[], range: BadRange): void {
  const last = bad.at(-1);
  if (last !== undefined && last.tried === range.tried && last.offset + last.length === range.offset) {
    bad[bad.length - 1] = { ...last, length: last.length + range.length };
  } else {
    bad.push(range);
  }
}
