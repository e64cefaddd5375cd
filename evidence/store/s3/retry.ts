// Tries a request again while there is hope: a network that breaks, a server that is busy. With jitter, so that nodes that
// lost the same store do not come back to it in step.
import { setTimeout as sleep } from 'node:timers/promises';

/** Full jitter: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/ */
const FIRST_MILLISECONDS = 100;
const MAX_MILLISECONDS = 10_000;
/** How long a store may be away: evidence waits in memory and on the node meanwhile, and that does not wait for ever. */
const PATIENCE_MILLISECONDS = 180_000;
/** However long they took: a part may need minutes on a slow line, and that line may break. */
const LEAST_ATTEMPTS = 3;

export interface Patience {
  readonly milliseconds: number;
  /** The longest pause between two tries: 10 s where absent. */
  readonly pauseMilliseconds?: number;
}

export const PATIENCE: Patience = { milliseconds: PATIENCE_MILLISECONDS };

/** `attempt` counts from 1. Throws what the last attempt threw, or that `signal` ended the pause before another. */
export async function retrying<T>(
  work: (attempt: number) => Promise<T>,
  isHopeful: (error: unknown) => boolean | Promise<boolean>,
  patience: Patience = PATIENCE,
  signal?: AbortSignal,
): Promise<T> {
  const begun = performance.now();
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      const given = attempt >= LEAST_ATTEMPTS && performance.now() - begun > patience.milliseconds;
      if (given || !(await isHopeful(error))) throw error;
    }
    await pause(attempt, signal, patience.pauseMilliseconds);
  }
}

/** After the `attempt`-th failure in a row, counted from 1. Throws where `signal` ends it. */
export async function pause(attempt: number, signal?: AbortSignal, longest = MAX_MILLISECONDS): Promise<void> {
  const most = Math.min(longest, FIRST_MILLISECONDS * 2 ** Math.min(attempt - 1, 20));
  await sleep(Math.random() * most, undefined, signal === undefined ? {} : { signal });
}
