// A file's time as a table has it: some file systems keep times that no calendar has.

/** ISO 8601 of nanoseconds since the epoch; undefined beyond what a Date can say (the years 271821 before to 275760 after). */
export function fileTime(nanoseconds: bigint): string | undefined {
  const date = new Date(Number(nanoseconds / 1_000_000n));
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}
