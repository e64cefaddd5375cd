// Reads a device from its start to its end: several chunks at once, given out in order, bad regions gone around.
import { availableParallelism } from 'node:os';
import { readAround } from './around.ts';
import { type Piece, piecesOf } from './runs.ts';
import type { Sizes } from './sizes.ts';
import { Hung, Removed, type Source } from './source.ts';

/** Chunks that are compressed at once, and that may wait for one before them: each holds `Sizes.chunk` bytes. */
const COMPRESSING = Math.min(8, availableParallelism());
const WAITING = 2;

/** `chunk` was read whole, or `failed` on the way. */
type Taken = { readonly kind: 'read'; readonly pieces: readonly Piece[] } | { readonly kind: 'failed' };

interface Pending {
  readonly offset: number;
  readonly length: number;
  readonly taken: Promise<Taken>;
}

/**
 * The pieces of the device in order, without holes or overlaps, from 0 as far as it could be read. Ends early once
 * `stopped()`; throws Hung and Removed. What was given out stands.
 */
export async function* piecesFrom(source: Source, sizes: Sizes, stopped: () => boolean): AsyncGenerator<Piece> {
  const { chunk, unit } = sizes;
  const reading = slots(sizes.reads);
  const compressing = slots(COMPRESSING);
  const buffers: Buffer[] = [];
  const pending: Pending[] = [];
  let next = 0;
  /** Milliseconds spent on reading around bad sectors. */
  let spent = 0;
  /** Chunks in a row of which nothing could be read. */
  let lost = 0;
  /** Chunks before this are not read around any more. */
  let leapEnd = 0;
  /** Nothing more is read: what waits for a slot would only hang too. */
  let over = false;

  const take = async (offset: number, length: number): Promise<Taken> => {
    const buffer = buffers.pop() ?? Buffer.allocUnsafeSlow(chunk);
    const whole = await reading(async () => {
      if (over) return false;
      try {
        return await fill(source, buffer.subarray(0, length), offset);
      } catch (error) {
        over = true; // at once: who waits for the slot would be the next to hang
        throw error;
      }
    });
    const taken: Taken = whole
      ? { kind: 'read', pieces: await compressing(() => piecesOf(buffer.subarray(0, length), offset, unit)) }
      : { kind: 'failed' };
    buffers.push(buffer);
    return taken;
  };
  const around = async (offset: number, length: number): Promise<readonly Piece[]> => {
    const begun = performance.now();
    const { bytes, bad } = await readAround(source, offset, length, begun + sizes.patience - spent);
    spent += performance.now() - begun;
    return piecesOf(bytes, offset, unit, bad);
  };
  const refill = (): void => {
    while (pending.length < sizes.reads + COMPRESSING + WAITING && next < source.bytes && !stopped()) {
      const [offset, length] = [next, Math.min(chunk, source.bytes - next)];
      const taken = take(offset, length);
      taken.catch(() => undefined); // met when its turn comes
      pending.push({ offset, length, taken });
      next += length;
    }
  };

  try {
    for (refill(); ; refill()) {
      const first = pending.shift();
      if (first === undefined) return;
      const { offset, length } = first;
      const taken = await first.taken;
      if (taken.kind === 'read') {
        lost = 0;
        yield* taken.pieces;
        continue;
      }
      if (!source.present()) throw new Removed('the device was removed');
      if (stopped()) return;
      const left: Piece = { kind: 'untried', offset, length };
      const pieces = offset < leapEnd || spent >= sizes.patience ? [left] : await around(offset, length);
      yield* pieces;
      lost = pieces.some(({ kind }) => kind === 'data' || kind === 'zero') ? 0 : lost + 1;
      if (lost < sizes.hopeless || offset < leapEnd) continue;
      const leap = Math.min(sizes.leap, 2 ** (lost - sizes.hopeless)) * chunk;
      leapEnd = Math.min(source.bytes, offset + length + leap);
      // what is being read already is taken where it succeeds
      for (const waiting of pending.splice(0)) {
        const later = await waiting.taken;
        yield* later.kind === 'read' ? later.pieces : [{ ...left, offset: waiting.offset, length: waiting.length }];
      }
      if (next < leapEnd) yield { kind: 'untried', offset: next, length: leapEnd - next };
      next = Math.max(next, leapEnd);
    }
  } finally {
    over = true;
    // until then the device must stay open: its descriptor's number could be another file's
    await Promise.allSettled(pending.map(({ taken }) => taken));
  }
}

/** False where it fails or the device ends before its size: both are looked at more closely. */
async function fill(source: Source, buffer: Buffer, offset: number): Promise<boolean> {
  let filled = 0;
  try {
    while (filled < buffer.length) {
      const got = await source.read(buffer.subarray(filled), offset + filled);
      if (got === 0) return false;
      filled += got;
    }
    return true;
  } catch (error) {
    if (error instanceof Hung) throw error;
    return false;
  }
}

/** Runs at most `count` at once, in the order they were asked for. */
function slots(count: number): <T>(work: () => Promise<T>) => Promise<T> {
  let free = count;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const wake = waiting.shift();
      if (wake === undefined) free++;
      else wake();
    }
  };
}
