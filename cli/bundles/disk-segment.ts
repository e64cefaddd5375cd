// The frames of one stored segment: from its start to its end with its digest, or just those that are wanted.
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import { ImpoundError, type Store, sha256Stream } from '../../evidence/index.ts';

const decompress = promisify(zstdDecompress);

/** What of a segment the chain says. */
export interface StoredSegment {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

export interface SegmentReader {
  /** Stored bytes; undefined past the end of what was stored. In ascending order. */
  frame(place: { readonly offset: number; readonly length: number }): Promise<Buffer | undefined>;
  /** Throws `content-damaged` where the segment is not what the chain says; a reader of parts cannot know. */
  finish(): Promise<void>;
  /** Lets go of what it holds. */
  abandon(): Promise<void>;
}

/** Reads the segment once, and hashes it on the way. */
export function wholeSegment(store: Store, segment: StoredSegment): SegmentReader {
  const digest = sha256Stream();
  const iterator = store.read(segment.path)[Symbol.asyncIterator]();
  let chunks: Uint8Array[] = [];
  /** Where `chunks` begin, and how much they are. */
  let start = 0;
  let held = 0;
  const pull = async (): Promise<boolean> => {
    const { value, done } = await iterator.next();
    if (done === true) return false;
    await digest.update(value);
    chunks.push(value);
    held += value.length;
    return true;
  };
  /** The first `count` bytes held, which are then held no more. */
  const take = (count: number): Buffer => {
    const all =
      chunks.length === 1 && chunks[0]
        ? Buffer.from(chunks[0].buffer, chunks[0].byteOffset, held)
        : Buffer.concat(chunks);
    chunks = [all.subarray(count)];
    start += count;
    held -= count;
    return all.subarray(0, count);
  };
  return {
    async frame({ offset, length }) {
      while (start + held < offset) {
        take(held);
        if (!(await pull())) return undefined;
      }
      take(offset - start);
      while (held < length) if (!(await pull())) return undefined;
      return take(length);
    },
    async finish() {
      do {
        start += held;
        held = 0;
        chunks = [];
      } while (await pull());
      const found = await digest.hex();
      if (found !== segment.sha256) throw altered(segment.path);
    },
    async abandon() {
      digest.abandon();
      await iterator.return?.();
    },
  };
}

/** Reads only the frames that are asked for: their own checksums say that they are whole. */
export function partsOfSegment(store: Store, segment: StoredSegment): SegmentReader {
  return {
    async frame({ offset, length }) {
      if (offset + length > segment.size) return undefined;
      const chunks: Uint8Array[] = [];
      for await (const chunk of store.read(segment.path, { start: offset, end: offset + length })) chunks.push(chunk);
      return Buffer.concat(chunks);
    },
    async finish() {},
    async abandon() {},
  };
}

/** A frame's content, which must have exactly this length. Throws `content-damaged`. */
export async function contentOf(frame: Buffer, length: number, thing: string): Promise<Buffer> {
  try {
    const content = await decompress(frame, { maxOutputLength: length, chunkSize: 1024 ** 2 });
    if (content.length === length) return content;
    throw new Error(`${content.length} bytes instead of ${length}`);
  } catch (cause) {
    const message = `${thing} has a frame that is not what the map says; run verify`;
    throw new ImpoundError('content-damaged', message, { operation: 'restore disk', thing, cause });
  }
}

export function altered(path: string): ImpoundError {
  return new ImpoundError('content-damaged', `${path} is not what the chain says was stored; run verify`, {
    operation: 'restore disk',
    thing: path,
  });
}
