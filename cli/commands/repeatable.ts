// An option that is given once for each of several things.

/** A word that follows is not taken for another. */
export function repeatable(describe: string) {
  return { type: 'string', array: true, nargs: 1, default: [] as string[], describe } as const;
}
