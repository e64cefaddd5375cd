// A table whose writer knows when a line has been stored: what it names is stored after it, never before.
import { jsonLine } from '../../../evidence/index.ts';

/** Lines go in one at a time and come out as the content of an artefact that is not compressed. */
export class LineFeed implements AsyncIterable<Uint8Array> {
  #line: Buffer | undefined;
  #state: 'open' | 'ended' | 'abandoned' = 'open';
  /** Resolves the writer's wait. */
  #stored: (() => void) | undefined;
  #wake: (() => void) | undefined;

  /** Resolves when the reader has come back for more, which it does once it has stored the line. False: it has gone. */
  async write(row: unknown): Promise<boolean> {
    if (this.#state !== 'open') return false;
    this.#line = jsonLine(row);
    const stored = new Promise<void>((resolve) => {
      this.#stored = resolve;
    });
    this.#wake?.();
    await stored;
    return this.#isOpen();
  }

  end(): void {
    if (this.#state === 'open') this.#state = 'ended';
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const line = this.#line;
        this.#line = undefined;
        if (line !== undefined) {
          yield line;
          this.#stored?.();
        } else if (this.#state !== 'open') {
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      this.#state = 'abandoned';
      this.#stored?.();
    }
  }

  #isOpen(): boolean {
    return this.#state === 'open';
  }
}
