// Bounded concurrency over a list.

/** Runs `work` for each item in order, at most `limit` at once; the first failure stops the rest and is thrown. */
export async function forEachBounded<T>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failed = false;
  const lane = async (): Promise<void> => {
    for (let step = iterator.next(); step.done !== true && !failed; step = iterator.next()) {
      try {
        await work(step.value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, lane));
}

/** Runs at most `limit` of what it is given at once, of what waits the least `rank` first, of one rank in order. */
export function gate(limit: number): <T>(work: () => Promise<T>, rank?: string) => Promise<T> {
  const waiting: { readonly rank: string; readonly enter: () => void }[] = [];
  let running = 0;
  return async (work, rank = '') => {
    if (running < limit) running++;
    else
      await new Promise<void>((enter) => {
        const before = waiting.findLastIndex((other) => other.rank <= rank);
        waiting.splice(before + 1, 0, { rank, enter });
      });
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running--;
      else next.enter();
    }
  };
}
