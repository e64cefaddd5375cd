// How long to wait before the next try: doubled each time, up to a limit, and never in step with others who wait.

/** Milliseconds, of the first wait and of the longest. */
export interface Backoff {
  readonly first: number;
  readonly most: number;
}

/** Milliseconds before the try that follows `failures` (1 or more); between half of the step and all of it. */
export function waitAfter(failures: number, { first, most }: Backoff, random: () => number = Math.random): number {
  const step = Math.min(most, first * 2 ** Math.min(failures - 1, 30));
  return step * (0.5 + random() / 2);
}
