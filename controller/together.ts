// Work that is under way at the same time, to be waited for as a whole.

interface Together {
  with<T>(work: Promise<T>): Promise<T>;
  /** When all that is under way now has ended, one way or the other. */
  settled(): Promise<unknown>;
}

export function together(): Together {
  const all = new Set<Promise<unknown>>();
  return {
    async with(work) {
      all.add(work);
      try {
        return await work;
      } finally {
        all.delete(work);
      }
    },
    settled: () => Promise.allSettled(all),
  };
}
