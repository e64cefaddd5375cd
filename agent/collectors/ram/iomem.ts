// Where physical memory is: the "System RAM" lines of /proc/iomem, proc_iomem(5).

/** Physical addresses; `end` is the last byte's. */
export interface PhysicalRange {
  readonly start: bigint;
  readonly end: bigint;
}

/** Ascending. The text says why there are none. */
export function systemRam(iomem: string): readonly PhysicalRange[] | string {
  const ranges: PhysicalRange[] = [];
  // what is inside of a range is indented
  for (const [, start = '0', end = '0'] of iomem.matchAll(/^([0-9a-f]{1,16})-([0-9a-f]{1,16}) : System RAM\b/gm)) {
    const range = { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`) };
    if (range.end > range.start) ranges.push(range);
  }
  if (ranges.length > 0) return ranges.toSorted((a, b) => (a.start < b.start ? -1 : 1));
  return 'it shows no addresses of physical memory: CAP_SYS_ADMIN in the initial user namespace is needed';
}
