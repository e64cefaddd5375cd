// Where agents ask for work: which capture is for which node, who waits, and who was heard of.
import type { CaptureOrder } from '../../protocol/index.ts';
import type { LiveCapture } from '../captures/live.ts';
import { Problem } from '../http/problem.ts';

interface Job {
  readonly live: LiveCapture;
  readonly node: string;
  /** Monotonic milliseconds when collecting has to end. */
  readonly until: number;
}

interface Poll {
  wake: () => void;
  over: boolean;
}

/** Whether the capture of this uid is one of that node, and agents are at work for it as far as is known. */
export type IsCollecting = (uid: string, node: string) => boolean;

export class AgentDesk {
  readonly #isCollecting: IsCollecting;
  /** By uid of the capture, the oldest first. */
  readonly #jobs = new Map<string, Job>();
  /** One poll a node: a newer one ends the older, whose connection may be dead. */
  readonly #waiting = new Map<string, Poll>();

  /** `isCollecting` knows what a replica that has just come to lead has not opened yet. */
  constructor(isCollecting: IsCollecting) {
    this.#isCollecting = isCollecting;
  }

  /** From now on the node's agent is told of it. */
  offer(uid: string, node: string, live: LiveCapture, seconds: number): void {
    this.#jobs.set(uid, { live, node, until: performance.now() + seconds * 1000 });
    this.#wake(node);
  }

  withdraw(uid: string): void {
    this.#jobs.delete(uid);
  }

  /** This replica leads no more: nobody waits here in vain. */
  clear(): void {
    this.#jobs.clear();
    for (const poll of this.#waiting.values()) {
      poll.over = true;
      poll.wake();
    }
  }

  /** Throws a Problem 503 for one that is about to be opened: its agent asks again, instead of giving it up. */
  find(uid: string, node: string): LiveCapture | undefined {
    const job = this.#jobs.get(uid);
    if (job !== undefined) return job.node === node ? job.live : undefined;
    if (!this.#isCollecting(uid, node)) return undefined;
    throw new Problem(503, 'unavailable', 'this capture is being taken over: ask again', { retryAfter: 1 });
  }

  /**
   * What the node's agent is to do next; undefined where nothing came until the signal aborts. Throws a Problem 429 where
   * a newer poll came: two agents of a node would else end each other's polls as fast as they can.
   */
  async next(node: string, signal: AbortSignal): Promise<CaptureOrder | undefined> {
    const poll: Poll = { wake: () => undefined, over: false };
    const older = this.#waiting.get(node);
    this.#waiting.set(node, poll);
    older?.wake();
    try {
      for (;;) {
        const order = this.#orderFor(node);
        if (order !== undefined || signal.aborted || poll.over) return order;
        if (this.#waiting.get(node) !== poll) throw new Problem(429, 'too-many', 'a newer poll of this node came');
        const woken = Promise.withResolvers<void>();
        poll.wake = woken.resolve;
        signal.addEventListener('abort', woken.resolve as () => void, { once: true });
        await woken.promise;
        signal.removeEventListener('abort', woken.resolve as () => void);
      }
    } finally {
      if (this.#waiting.get(node) === poll) this.#waiting.delete(node);
    }
  }

  #orderFor(node: string): CaptureOrder | undefined {
    for (const { live, node: at, until } of this.#jobs.values()) {
      if (at !== node) continue;
      const order = live.order((until - performance.now()) / 1000);
      if (order !== undefined) return order;
    }
    return undefined;
  }

  #wake(node: string): void {
    this.#waiting.get(node)?.wake();
  }
}
