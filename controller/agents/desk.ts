// Where agents ask for work: which capture is for which node, who waits, and who was heard of.
import type { CaptureOrder, ProbeOrder } from '../../protocol/index.ts';
import type { LiveCapture } from '../captures/live.ts';
import { Problem } from '../http/problem.ts';

interface Job {
  readonly live: LiveCapture;
  readonly node: string;
  /** Monotonic milliseconds when collecting has to end. */
  readonly until: number;
}

/** What an agent is to do next: nothing, where both are undefined. */
export interface Work {
  readonly capture?: CaptureOrder;
  readonly probe?: ProbeOrder;
}

interface Poll {
  wake: () => void;
  over: boolean;
}

interface WaitingProbe {
  readonly order: ProbeOrder;
  readonly taken: (taken: boolean) => void;
}

/** Whether the capture of this uid is one of that node, and agents are at work for it as far as is known. */
export type IsCollecting = (uid: string, node: string) => boolean;

export class AgentDesk {
  readonly #isCollecting: IsCollecting;
  /** By uid of the capture, the oldest first. */
  readonly #jobs = new Map<string, Job>();
  /** One poll a node: a newer one ends the older, whose connection may be dead. */
  readonly #waiting = new Map<string, Poll>();
  /** One a node: whoever asks for another waits. */
  readonly #probes = new Map<string, WaitingProbe>();

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

  /** Gives it to the node's agent with its next poll; false where none came until the signal aborts, or another waits. */
  async probe(node: string, order: ProbeOrder, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted || this.#probes.has(node)) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const mine = { order, taken: resolve };
    const leave = (): void => resolve(false);
    this.#probes.set(node, mine);
    signal.addEventListener('abort', leave, { once: true });
    this.#wake(node);
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', leave);
      if (this.#probes.get(node) === mine) this.#probes.delete(node);
    }
  }

  /** Whether a poll of the node's agent waits here. */
  isWaiting(node: string): boolean {
    return this.#waiting.has(node);
  }

  /** This replica leads no more: nobody waits here in vain. */
  clear(): void {
    this.#jobs.clear();
    for (const { taken } of this.#probes.values()) taken(false);
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
   * What the node's agent is to do next; nothing where nothing came until the signal aborts. `mayProbe`: it knows probes.
   * Throws a Problem 429 where a newer poll came: two agents of a node would else end each other's polls as fast as they can.
   */
  async next(node: string, signal: AbortSignal, mayProbe = false): Promise<Work> {
    const poll: Poll = { wake: () => undefined, over: false };
    const older = this.#waiting.get(node);
    this.#waiting.set(node, poll);
    older?.wake();
    try {
      for (;;) {
        const capture = this.#orderFor(node);
        if (capture !== undefined) return { capture };
        if (signal.aborted || poll.over) return {};
        if (this.#waiting.get(node) !== poll) throw new Problem(429, 'too-many', 'a newer poll of this node came');
        const probe = mayProbe ? this.#takeProbe(node) : undefined;
        if (probe !== undefined) return { probe };
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

  #takeProbe(node: string): ProbeOrder | undefined {
    const waiting = this.#probes.get(node);
    this.#probes.delete(node);
    waiting?.taken(true);
    return waiting?.order;
  }

  #wake(node: string): void {
    this.#waiting.get(node)?.wake();
  }
}
