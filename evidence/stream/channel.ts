// A bounded channel between one producer and one consumer: a walk feeds several artefacts through it.

/** Values go in by `push`, which waits while `capacity` of them are unread, and come out by iteration. */
export class Channel<T> implements AsyncIterable<T> {
  readonly #capacity: number;
  readonly #values: T[] = [];
  #state: 'open' | 'ended' | 'abandoned' = 'open';
  #failure: unknown;
  #waiting: (() => void)[] = [];
  readonly #drained = Promise.withResolvers<void>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Waits for room. False when nobody reads any more, so that the producer can stop. */
  async push(value: T): Promise<boolean> {
    while (this.#state === 'open' && this.#values.length >= this.#capacity) await this.#changed();
    if (this.#state !== 'open') return false;
    this.#values.push(value);
    this.#notify();
    return true;
  }

  /** Ends the channel: the consumer reads what is left, and then the error if one is given. */
  end(failure?: unknown): void {
    if (this.#state !== 'open') return;
    this.#state = 'ended';
    this.#failure = failure;
    this.#notify();
  }

  /** Resolves when the consumer has read all there was, or has gone. */
  get drained(): Promise<void> {
    return this.#drained.promise;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    try {
      for (;;) {
        const value = this.#values.shift();
        if (value !== undefined) {
          this.#notify();
          yield value;
        } else if (this.#state !== 'open') {
          if (this.#failure !== undefined) throw this.#failure;
          return;
        } else {
          await this.#changed();
        }
      }
    } finally {
      this.#state = 'abandoned';
      this.#values.length = 0;
      this.#drained.resolve();
      this.#notify();
    }
  }

  #notify(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}
