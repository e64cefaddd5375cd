// Physical memory in LiME's format, version 1: a header of 32 bytes before each range, then its bytes.
// https://github.com/504ensicsLabs/LiME/blob/master/doc/README.md
import { read as readCallback } from 'node:fs';
import { promisify } from 'node:util';
import type { Gap } from '../../../evidence/index.ts';
import type { RamPiece } from './map.ts';

const readAsync = promisify(readCallback);
const MAGIC = 0x4c694d45;
const HEADER_BYTES = 32;
const CHUNK_BYTES = 1024 * 1024;
const PAGE_BYTES = 4096;

/** What cannot be read becomes zeros, since a range's length stands before it, and a gap. */
export async function* limeImage(
  fd: number,
  pieces: readonly RamPiece[],
  gap: (gap: Gap) => void,
): AsyncGenerator<Uint8Array> {
  const lost = new Lost(gap);
  try {
    for (const { start, end, offset } of pieces) {
      yield header(start, end);
      for (let at = start; at <= end; ) {
        const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, Number(end - at) + 1));
        await fill(fd, chunk, offset + (at - start), (from, size) => lost.add(at + BigInt(from), size));
        yield chunk;
        at += BigInt(chunk.length);
      }
    }
  } finally {
    lost.end();
  }
}

function header(start: bigint, end: bigint): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(1, 4);
  bytes.writeBigUInt64LE(start, 8);
  bytes.writeBigUInt64LE(end, 16);
  return bytes;
}

/** Reads into zeros; a page that is refused is passed over. */
async function fill(
  fd: number,
  chunk: Buffer,
  position: bigint,
  lost: (from: number, size: number) => void,
): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    // up to the end of a page, so that the next try begins with a whole one
    const page = Math.min(PAGE_BYTES - Number((position + BigInt(done)) % BigInt(PAGE_BYTES)), chunk.length - done);
    try {
      const { bytesRead } = await readAsync(fd, chunk, done, chunk.length - done, position + BigInt(done));
      if (bytesRead === 0) {
        lost(done, chunk.length - done); // the file ends here
        return;
      }
      done += bytesRead;
    } catch {
      chunk.fill(0, done, done + page);
      lost(done, page);
      done += page;
    }
  }
}

/** Ranges that were lost, those that touch as one. */
class Lost {
  readonly #gap: (gap: Gap) => void;
  #start = 0n;
  #end = 0n;

  constructor(gap: (gap: Gap) => void) {
    this.#gap = gap;
  }

  add(start: bigint, size: number): void {
    if (start !== this.#end) {
      this.end();
      this.#start = start;
    }
    this.#end = start + BigInt(size);
  }

  end(): void {
    if (this.#end === this.#start) return;
    const name = `physical memory ${this.#start.toString(16)}-${(this.#end - 1n).toString(16)}`;
    this.#gap({ reason: 'failed', name, detail: 'the kernel would not read it; zeros stand in its place' });
    this.#start = this.#end;
  }
}
