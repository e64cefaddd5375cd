// A bounded map whose values go after their time; where it is full, the one that was used longest ago goes.

export interface Cache<T> {
  get(key: string): T | undefined;
  /** `until` in milliseconds since 1970. */
  set(key: string, value: T, until: number): void;
  delete(key: string): void;
  readonly size: number;
}

export function makeCache<T>(capacity: number, now: () => number): Cache<T> {
  const kept = new Map<string, { readonly value: T; readonly until: number }>();
  return {
    get size() {
      return kept.size;
    },
    get(key) {
      const found = kept.get(key);
      if (found === undefined) return undefined;
      kept.delete(key);
      if (found.until <= now()) return undefined;
      kept.set(key, found);
      return found.value;
    },
    set(key, value, until) {
      kept.delete(key);
      if (until <= now()) return;
      for (const oldest of kept.keys()) {
        if (kept.size < capacity) break;
        kept.delete(oldest);
      }
      kept.set(key, { value, until });
    },
    delete: (key) => void kept.delete(key),
  };
}

/** Calls of the same key at the same time are one. */
export function makeShared<T>(): (key: string, work: () => Promise<T>) => Promise<T> {
  const running = new Map<string, Promise<T>>();
  return (key, work) => {
    const found = running.get(key);
    if (found !== undefined) return found;
    const started = work().finally(() => running.delete(key));
    running.set(key, started);
    return started;
  };
}
