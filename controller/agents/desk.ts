// Where agents ask for work: which capture is for which node, who waits, and who was heard of.
import type { CaptureOrder } from '../../protocol/index.ts';
import type { LiveCapture } from '../captures/live.ts';

interface Job {
  readonly live: LiveCapture;
  readonly node: string;
  /** Monotonic milliseconds when collecting has to end. */
  readonly until: number;
}

export class AgentDesk {
  /** By uid of the capture, the oldest first. */
  readonly #jobs = new Map<string, Job>();
  /** One poll a node: a newer one ends the older, whose connection may be dead. */
  readonly #waiting = new Map<string, () => void>();

  /** From now on the node's agent is told of it. */
  offer(uid: string, node: string, live: LiveCapture, seconds: number): void {
    this.#jobs.set(uid, { live, node, until: performance.now() + seconds * 1000 });
    this.#wake(node);
  }

  withdraw(uid: string): void {
    this.#jobs.delete(uid);
  }

  clear(): void {
    this.#jobs.clear();
  }

  find(uid: string, node: string): LiveCapture | undefined {
    const job = this.#jobs.get(uid);
    return job?.node === node ? job.live : undefined;
  }

  /** Whether the node's agent is at work for another capture, so that this one has to wait. */
  isBusy(node: string, uid: string): boolean {
    for (const [other, { live, node: at }] of this.#jobs) {
      if (other === uid) return false; // those after it wait for it
      if (at === node && live.session !== undefined && live.session.end === undefined) return true;
    }
    return false;
  }

  /** What the node's agent is to do next; undefined where nothing came until the signal aborts. */
  async next(node: string, signal: AbortSignal): Promise<CaptureOrder | undefined> {
    this.#wake(node);
    for (;;) {
      const order = this.#orderFor(node);
      if (order !== undefined || signal.aborted) return order;
      const woken = Promise.withResolvers<void>();
      const wake = (): void => woken.resolve();
      this.#waiting.set(node, wake);
      signal.addEventListener('abort', wake, { once: true });
      await woken.promise;
      signal.removeEventListener('abort', wake);
      if (this.#waiting.get(node) === wake) this.#waiting.delete(node);
      else if (!signal.aborted && this.#orderFor(node) === undefined) return undefined;
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
    this.#waiting.get(node)?.();
  }
}
