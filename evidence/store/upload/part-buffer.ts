// One part of an object while it is filled.
import { MIN_PART_BYTES, PART_BYTES } from './part-memory.ts';

/** It grows by these: the last but one is where a part may go out as it is. */
const CAPACITIES = [64 * 1024, 512 * 1024, MIN_PART_BYTES, PART_BYTES];

/** A copy, since whoever gives a chunk may use its memory again. */
export class PartBuffer {
  #buffer: Buffer;
  size = 0;

  /** Of a whole part, where there is one to be used again. */
  constructor(buffer: Buffer = Buffer.alloc(0)) {
    this.#buffer = buffer;
  }

  /** All of its memory, for another part. */
  get memory(): Buffer {
    return this.#buffer;
  }

  /** What it holds of memory, however little is in it. */
  get capacity(): number {
    return this.#buffer.length;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.size);
  }

  /** More memory that `append` will take for it. */
  growth(chunk: Uint8Array): number {
    return this.#capacityFor(this.#taken(chunk)) - this.capacity;
  }

  /** Stops at `MIN_PART_BYTES` and at `PART_BYTES`, and gives back what of `chunk` was left. */
  append(chunk: Uint8Array): Uint8Array {
    const taken = chunk.subarray(0, this.#taken(chunk));
    const capacity = this.#capacityFor(taken.length);
    if (capacity > this.capacity) {
      const grown = Buffer.allocUnsafeSlow(capacity);
      this.#buffer.copy(grown, 0, 0, this.size);
      this.#buffer = grown;
    }
    this.#buffer.set(taken, this.size);
    this.size += taken.length;
    return chunk.subarray(taken.length);
  }

  #taken(chunk: Uint8Array): number {
    const most = this.size < MIN_PART_BYTES ? MIN_PART_BYTES : PART_BYTES;
    return Math.min(chunk.length, most - this.size);
  }

  #capacityFor(more: number): number {
    const needed = this.size + more;
    if (needed <= this.capacity) return this.capacity;
    return CAPACITIES.find((capacity) => capacity >= needed) ?? PART_BYTES;
  }
}
