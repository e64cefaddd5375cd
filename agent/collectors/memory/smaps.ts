// Reads /proc/PID/smaps line by line: proc_pid_smaps(5), bounded in regions. For the worker thread.
import { readSync } from 'node:fs';
import type { Region } from './shared.ts';

/** Four times what vm.max_map_count is by default; distributions that raise it go to 1,048,576. */
export const MAX_REGIONS = 262_144;
const CHUNK = 256 * 1024;
/** The longest line is a path's, which has at most 4,096 bytes and a range before it; escapes are four bytes for one. */
const MAX_LINE = 32 * 1024;

const HEADER = /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) (\S{4}) ([0-9a-f]{1,16}) [0-9a-f]+:[0-9a-f]+ (\d+) *(.*)$/;
const COUNTED = /^(?:Rss|Swap|Shared_Hugetlb|Private_Hugetlb): +(\d+) kB$/;

/** `smaps` is an open descriptor. `more`: there are further regions than the bound. Throws the system's errors. */
export function readRegions(
  smaps: number,
  progress: () => void,
): { readonly regions: readonly Region[]; readonly more: boolean } {
  const regions: Region[] = [];
  let current: { -readonly [K in keyof Region]: Region[K] } | undefined;
  for (const line of linesOf(smaps, progress)) {
    const header = HEADER.exec(line);
    if (header !== null) {
      if (regions.length === MAX_REGIONS) return { regions, more: true };
      const [, start = '0', end = '0', permissions = '', offset = '0', inode = '0', name = ''] = header;
      current = {
        start: BigInt(`0x${start}`),
        end: BigInt(`0x${end}`),
        permissions,
        offset: BigInt(`0x${offset}`),
        inode,
        path: name,
        flags: '',
        resident: 0,
      };
      regions.push(current);
    } else if (current !== undefined) {
      const counted = COUNTED.exec(line)?.[1];
      if (counted !== undefined) current.resident += Number(counted) * 1024;
      else if (line.startsWith('VmFlags:')) current.flags = ` ${line.slice(8).trim()} `;
    }
  }
  return { regions, more: false };
}

function* linesOf(smaps: number, progress: () => void): Generator<string> {
  const buffer = Buffer.allocUnsafe(CHUNK);
  let carry = '';
  for (;;) {
    progress();
    const got = readSync(smaps, buffer, 0, CHUNK, null);
    if (got === 0) break;
    const lines = (carry + buffer.toString('latin1', 0, got)).split('\n');
    carry = (lines.pop() ?? '').slice(0, MAX_LINE);
    yield* lines;
  }
  if (carry !== '') yield carry;
}
