// The image of one device as artefacts: segments of frames, rolled by device range, and the map that names each frame.
import type { Artefact } from '../../../capture/index.ts';
import { Channel } from '../../../evidence/index.ts';
import { type FrameSizes, seekTable } from './frames.ts';
import { LineFeed } from './line-feed.ts';
import { piecesFrom } from './pieces.ts';
import type { Piece } from './runs.ts';
import type { Sizes } from './sizes.ts';
import type { Source } from './source.ts';

/** Frames that wait for the store. */
const FRAMES_WAITING = 2;

/** How an image ended: bytes by what became of them; they add up to the device's size. */
export interface ImageEnd {
  readonly data: number;
  readonly zero: number;
  readonly unreadable: number;
  readonly untried: number;
  /** Untried since the reading ended before the device did; part of `untried`. */
  readonly left: number;
  /** Ranges, one beside the other counted as one. */
  readonly unreadableRanges: number;
  readonly segments: number;
  /** Thrown while it was read: Hung, Removed. */
  readonly failure: unknown;
}

/**
 * Yields `80-disk/NAME/map.jsonl` and the segments that hold any data, in order. A line of the map is stored before the
 * frame it names, so that a frame is never without one, however the capture ends. Runs of one kind are one line, but
 * for data: each frame has its own. Returns how it ended.
 */
export async function* image(
  name: string,
  path: string,
  source: Source,
  sizes: Sizes,
  stopped: () => boolean,
): AsyncGenerator<Artefact, ImageEnd> {
  const map = new LineFeed();
  const folder = `80-disk/${name}`;
  const bytes = { data: 0, zero: 0, unreadable: 0, untried: 0 };
  let unreadableRanges = 0;
  let segments = 0;
  let done = 0;
  let gone = false;
  let failure: unknown;
  let open: Segment | undefined;
  let run: Exclude<Piece, { kind: 'data' }> | undefined;

  const row = async (fields: Record<string, unknown>): Promise<void> => {
    gone = !(await map.write({ impound: fields })) || gone;
  };
  /** Runs grow until another kind comes, or a segment is full: then a map that is cut off is not far behind. */
  const endRun = async (): Promise<void> => {
    if (run === undefined) return;
    if (run.kind === 'unreadable') unreadableRanges++;
    const ended = run;
    run = undefined;
    await row(ended);
  };

  yield { kind: 'artefact', path: `${folder}/map.jsonl`, source: path, content: map };
  try {
    await row({ kind: 'device', name, bytes: source.bytes, segmentBytes: sizes.segment, chunkBytes: sizes.chunk });
    try {
      for await (const piece of piecesFrom(source, sizes, stopped)) {
        const number = Math.floor(piece.offset / sizes.segment);
        if (open !== undefined && open.number !== number) open = await open.end();
        if (run !== undefined && (run.kind !== piece.kind || run.length >= sizes.segment)) await endRun();
        bytes[piece.kind] += piece.length;
        done = piece.offset + piece.length;
        if (piece.kind !== 'data') {
          run = { ...piece, ...(run === undefined ? {} : { offset: run.offset, length: run.length + piece.length }) };
        } else {
          if (open === undefined) {
            open = new Segment(number);
            segments++;
            yield open.artefact(folder, path, sizes.segment);
          }
          await row(open.rowOf(piece));
          if (!gone) gone = !(await open.push(piece));
        }
        if (gone) break;
      }
    } catch (error) {
      failure = error;
    }
    await endRun();
    const left = source.bytes - done;
    bytes.untried += left;
    if (left > 0) await row({ kind: 'untried', offset: done, length: left });
    const end = { ...bytes, left, unreadableRanges, segments };
    await row({ kind: 'end', ended: new Date().toISOString(), ...end });
    return { ...end, failure };
  } finally {
    await open?.end();
    map.end();
  }
}

/** One artefact: frames one after the other, and their table. */
class Segment {
  readonly number: number;
  readonly #frames = new Channel<Uint8Array>(FRAMES_WAITING);
  readonly #sizes: FrameSizes[] = [];
  #stored = 0;
  #content = 0;

  constructor(number: number) {
    this.number = number;
  }

  artefact(folder: string, path: string, segmentBytes: number): Artefact {
    const start = this.number * segmentBytes;
    return {
      kind: 'artefact',
      path: `${folder}/${String(this.number).padStart(6, '0')}.img.zst`,
      source: `${path}, ${segmentBytes} bytes from ${start}`,
      content: this.#frames,
      encoded: () => this.#content,
    };
  }

  /** The line of the map for the frame that is pushed next. */
  rowOf({ kind, offset, length, frame }: Extract<Piece, { kind: 'data' }>): Record<string, unknown> {
    return { kind, offset, length, segment: this.number, frame: { offset: this.#stored, length: frame.length } };
  }

  /** False where nobody stores it any more. */
  push({ length, frame }: Extract<Piece, { kind: 'data' }>): Promise<boolean> {
    this.#sizes.push({ stored: frame.length, content: length });
    this.#stored += frame.length;
    this.#content += length;
    return this.#frames.push(frame);
  }

  async end(): Promise<undefined> {
    await this.#frames.push(seekTable(this.#sizes));
    this.#frames.end();
  }
}
