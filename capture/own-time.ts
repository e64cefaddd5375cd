// A collector's own time: where the store keeps it waiting for longer than a second, the clock stands until it answers. A
// controller that is away for a minute costs no evidence then.

/** A store that takes longer for one thing than this is waited for. */
const PROMPT_MILLISECONDS = 1000;
const LOOK_MILLISECONDS = 250;

interface Mark {
  readonly milliseconds: number;
  readonly abort: AbortController;
}

export class OwnTime {
  readonly #limit: number;
  readonly #marks = new Set<Mark>();
  /** When each call to the store that is not answered yet was begun, the oldest first. */
  readonly #asked = new Set<{ readonly at: number }>();
  #spent = 0;
  #seen = performance.now();
  #waited = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `seconds` may be infinite. Runs until `end`. */
  constructor(seconds: number) {
    this.#limit = seconds * 1000;
  }

  /** Aborts when all but `seconds` of it are spent. */
  butFor(seconds: number): AbortSignal {
    const mark = { milliseconds: this.#limit - seconds * 1000, abort: new AbortController() };
    this.#marks.add(mark);
    this.#look();
    return mark.abort.signal;
  }

  /** Milliseconds that were the store's and not the collector's. */
  get waited(): number {
    return this.#waited;
  }

  /** What the store answers. */
  async store<T>(answer: Promise<T>): Promise<T> {
    const call = { at: performance.now() };
    this.#asked.add(call);
    try {
      return await answer;
    } finally {
      this.#count();
      this.#asked.delete(call);
    }
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#marks.clear();
  }

  /** Time since the last count is the store's from where its oldest call was not prompt any more. True while it still is. */
  #count(): boolean {
    const now = performance.now();
    const [oldest] = this.#asked;
    const late = oldest === undefined ? now : Math.max(this.#seen, oldest.at + PROMPT_MILLISECONDS);
    const waited = Math.max(0, now - late);
    this.#waited += waited;
    this.#spent += now - this.#seen - waited;
    this.#seen = now;
    return waited > 0;
  }

  #look(): void {
    clearTimeout(this.#timer);
    const stands = this.#count();
    let next = Number.POSITIVE_INFINITY;
    for (const mark of this.#marks) {
      const left = mark.milliseconds - this.#spent;
      if (left <= 0) {
        this.#marks.delete(mark);
        mark.abort.abort();
      } else next = Math.min(next, left);
    }
    if (next === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#look(), stands ? LOOK_MILLISECONDS : Math.min(next + 1, LOOK_MILLISECONDS));
  }
}
