// Memory of the parts that all objects of one store are written in: bounded together, whatever the number of objects.

/** S3's smallest part, but for an object's last one. */
export const MIN_PART_BYTES = 5 * 1024 * 1024;
export const PART_BYTES = 16 * 1024 * 1024;
/** Parts on their way. */
const SENDING_BYTES = 2 * PART_BYTES;
/** Parts being filled: past this, what is large enough to be a part is sent as it is. */
const FILLING_BYTES = 2 * PART_BYTES;
const FIRST_BYTES = 64 * 1024;

export class PartMemory {
  #filling = 0;
  #sending = 0;
  readonly #waiting: (() => void)[] = [];

  /** More is held than there should be. */
  get crowded(): boolean {
    return this.#filling > FILLING_BYTES;
  }

  fill(bytes: number): void {
    this.#filling += bytes;
  }

  /** Waits until the part may go out: parts on their way wait for nobody, so that each wait ends. */
  async send(bytes: number): Promise<void> {
    while (this.#sending > 0 && this.#sending + bytes > SENDING_BYTES)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#filling -= bytes;
    this.#sending += bytes;
  }

  sent(bytes: number): void {
    this.#sending -= bytes;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** What was filled and will not be sent. */
  forget(bytes: number): void {
    this.#filling -= bytes;
  }
}

/** One part while it is filled: a copy, since whoever gives a chunk may use its memory again. */
export class PartBuffer {
  #buffer = Buffer.alloc(0);
  size = 0;

  /** What of `chunk` had no room left. */
  append(chunk: Uint8Array): Uint8Array {
    const taken = chunk.subarray(0, PART_BYTES - this.size);
    const needed = this.size + taken.length;
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.min(PART_BYTES, Math.max(FIRST_BYTES, needed, 4 * this.#buffer.length)),
      );
      this.#buffer.copy(grown, 0, 0, this.size);
      this.#buffer = grown;
    }
    this.#buffer.set(taken, this.size);
    this.size = needed;
    return chunk.subarray(taken.length);
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.size);
  }
}
