// What an agent has said and the chain does not have yet: never more than fits into one entry.
import { type Actor, ChainBatch, type ChainWriter } from '../../evidence/index.ts';
import { unavailable } from './unavailable.ts';

/** As JSON: an entry has 4 MiB at most, a third of it the envelope's, and what is said of the largest request must fit. */
const MAX_WAITING_BYTES = 2.5 * 1024 * 1024;

export class Outbox {
  readonly #batch: ChainBatch;
  /** Bytes of what waits. */
  #waiting = 0;
  #adding: Promise<void> = Promise.resolve();
  #flushing: Promise<void> = Promise.resolve();

  constructor(chain: ChainWriter, actor: Actor) {
    this.#batch = new ChainBatch({ chain, actor });
  }

  /** Puts what does not fit beside `length` more bytes on the chain first. One after the other; rejects as `put` throws. */
  add(length: number, put: (batch: ChainBatch) => void): Promise<void> {
    const added = this.#adding.then(async () => {
      if (this.#waiting + length > MAX_WAITING_BYTES) await this.flush();
      this.#waiting += length;
      put(this.#batch);
    });
    this.#adding = added.catch(() => undefined);
    return added;
  }

  /** All that was added is on the chain then. Throws a Problem 503 where the store cannot be reached now, 409 where it is closed. */
  flush(): Promise<void> {
    const flushed = this.#flushing.then(async () => {
      const waiting = this.#waiting;
      await this.#batch.flush();
      this.#waiting -= waiting;
    });
    this.#flushing = flushed.catch(() => undefined);
    return flushed.catch((error: unknown) => {
      throw unavailable(error);
    });
  }

  stop(): void {
    this.#batch.stop();
  }
}
