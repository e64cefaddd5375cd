// Which parts of a chunk are data, zero or unreadable: the pieces an image is made of.
import type { BadRange } from './around.ts';
import { frameOf } from './frames.ts';

/** A part of the device; offsets and lengths are bytes of it. */
export type Piece =
  | { readonly kind: 'data'; readonly offset: number; readonly length: number; readonly frame: Buffer }
  /** `untried`: not read, for the reason that a gap gives. */
  | { readonly kind: 'zero' | 'unreadable' | 'untried'; readonly offset: number; readonly length: number };

/** The pieces of a chunk that was read, in order. `bytes` may be used again when this resolves. */
export async function piecesOf(
  bytes: Buffer,
  offset: number,
  unit: number,
  bad: readonly BadRange[] = [],
): Promise<readonly Piece[]> {
  const pieces: Promise<Piece>[] = [];
  let at = 0;
  for (const range of [...bad, undefined]) {
    const end = range?.offset ?? bytes.length;
    for (const run of runs(bytes, at, end, unit)) pieces.push(pieceOf(bytes, offset, run));
    if (range === undefined) break;
    const kind = range.tried ? 'unreadable' : 'untried';
    pieces.push(Promise.resolve({ kind, offset: offset + range.offset, length: range.length }));
    at = range.offset + range.length;
  }
  return Promise.all(pieces);
}

interface Run {
  readonly zero: boolean;
  readonly start: number;
  readonly end: number;
}

/** Whole units that are zero, and what is between them. */
function runs(bytes: Buffer, start: number, end: number, unit: number): readonly Run[] {
  const found: Run[] = [];
  const nothing = zeros(unit);
  for (let at = start; at < end; ) {
    const next = Math.min(end, at - (at % unit) + unit);
    // what is compared is mostly not zero in its first bytes, which costs nothing
    const zero = bytes.compare(nothing, 0, next - at, at, next) === 0;
    const last = found.at(-1);
    if (last?.zero === zero) found[found.length - 1] = { zero, start: last.start, end: next };
    else found.push({ zero, start: at, end: next });
    at = next;
  }
  return found;
}

async function pieceOf(bytes: Buffer, offset: number, { zero, start, end }: Run): Promise<Piece> {
  const place = { offset: offset + start, length: end - start };
  return zero
    ? { kind: 'zero', ...place }
    : { kind: 'data', ...place, frame: await frameOf(bytes.subarray(start, end)) };
}

let nothing = Buffer.alloc(0);

function zeros(size: number): Buffer {
  if (nothing.length < size) nothing = Buffer.alloc(size);
  return nothing;
}
