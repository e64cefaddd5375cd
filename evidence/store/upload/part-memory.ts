// Memory of the parts that all objects of one store are written in: bounded together, whatever the number of objects.
// What is counted is the buffers' capacity, however little is in them.

/** S3's smallest part, but for an object's last one. */
export const MIN_PART_BYTES = 5 * 1024 * 1024;
export const PART_BYTES = 16 * 1024 * 1024;
/** Parts on their way. */
const SENDING_BYTES = 2 * PART_BYTES;
/** Parts being filled: past this, what is large enough to be a part is sent as it is. */
const FILLING_BYTES = 2 * PART_BYTES;
/** Buffers of whole parts that are kept to be filled again: fresh ones cost a third of the time of an upload. */
const SPARE = 2;

export class PartMemory {
  #filling = 0;
  #sending = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #spare: Buffer[] = [];

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

  /** A buffer of a whole part that nobody uses any more. */
  take(): Buffer | undefined {
    return this.#spare.pop();
  }

  /** To be called once nothing reads from it. */
  give(buffer: Buffer): void {
    if (buffer.length === PART_BYTES && this.#spare.length < SPARE && !this.crowded) this.#spare.push(buffer);
  }

  /** What was filled and will not be sent. */
  forget(bytes: number): void {
    this.#filling -= bytes;
  }
}
