// A limit to how long somebody waits for something that goes on by itself. What becomes of it later is nobody's.

/** What comes of the work in so many milliseconds, else what `late` gives or throws. The timer holds the process. */
export async function within<T, L>(work: Promise<T>, milliseconds: number, late: () => L): Promise<T | L> {
  const over = Promise.withResolvers<void>();
  const timer = setTimeout(over.resolve, milliseconds);
  try {
    return await Promise.race([work, over.promise.then(late)]);
  } finally {
    clearTimeout(timer);
  }
}

/** The same until a signal aborts; at once where it has. */
export async function unlessAborted<T, L>(work: Promise<T>, signal: AbortSignal, late: () => L): Promise<T | L> {
  const over = Promise.withResolvers<void>();
  const end = (): void => over.resolve();
  work.catch(() => undefined); // where it is not even begun to be waited for
  if (signal.aborted) return late();
  signal.addEventListener('abort', end, { once: true });
  try {
    return await Promise.race([work, over.promise.then(late)]);
  } finally {
    signal.removeEventListener('abort', end);
  }
}
