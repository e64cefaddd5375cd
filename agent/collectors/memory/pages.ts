// Which pages of a process there are, from /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst), as segments.
// For the worker thread. A page the process never touched is not read: that could fill the node's memory, wake a
// network file system, or wait for a handler of page faults.
import { readSync } from 'node:fs';
import type { Gap } from '../../../evidence/index.ts';
import {
  FIRST_PAGE,
  IS_ABSENT,
  IS_LEFT,
  IS_STORED,
  type LayoutCounts,
  PAGES,
  REGION,
  type Region,
  SEGMENT_FIELDS,
  STORED,
} from './shared.ts';

/** Program headers of a core: 14 MiB of them. */
const MAX_SEGMENTS = 262_144;
/** Untouched pages that are stored as the zeros they are, rather than a segment of their own being made of them. */
const MERGED_PAGES = 16;
/** Address space looked through page by page: about a second for 1 TiB. Sanitizers reserve 20 TiB and touch little. */
const MAX_SCANNED = 8 * 1024 ** 4;
const ENTRY_BYTES = 8;
const CHUNK = 1024 * 1024;
const ZEROS = Buffer.alloc(CHUNK);

interface Run {
  readonly region: number;
  readonly first: number;
  pages: number;
  stored: number;
}

interface Plan {
  readonly segments: Float64Array;
  readonly counts: LayoutCounts;
  readonly gaps: readonly Gap[];
}

/** `pagemap` is an open descriptor; `bytes` what may be stored. Throws the system's errors. */
export function planSegments(
  pid: number,
  regions: readonly Region[],
  { pagemap, pageSize, bytes, progress }: { pagemap: number; pageSize: number; bytes: number; progress: () => void },
): Plan {
  const runs: Run[] = [];
  const gaps: Gap[] = [];
  const counts = { stored: 0, untouched: 0, device: 0, kernel: 0, left: 0 };
  let scanned = 0;
  let unscanned = 0;
  let crowded = 0;
  for (const [index, region] of regions.entries()) {
    const size = Number(region.end - region.start);
    const kind = kindOf(region);
    if (kind !== 'memory') {
      counts[kind] += size;
      if (kind === 'device') gaps.push(deviceGap(pid, region));
      continue;
    }
    if (region.path === '[vdso]') {
      // the kernel's own code, a few pages: touched or not, debuggers want it whole
      runs.push(whole(index, region, pageSize, IS_STORED));
    } else if (scanned + size > MAX_SCANNED && region.resident > 0) {
      unscanned += region.resident;
      runs.push(whole(index, region, pageSize, IS_LEFT));
    } else if (region.resident === 0) {
      runs.push(whole(index, region, pageSize, IS_ABSENT));
    } else if (runs.length >= MAX_SEGMENTS) {
      crowded += region.resident;
      runs.push(whole(index, region, pageSize, IS_LEFT));
    } else {
      scanned += size;
      for (const run of runsOf(index, region, pagemap, pageSize, progress)) runs.push(run);
    }
  }
  const left = fit(runs, regions, bytes / pageSize) * pageSize;
  for (const run of runs) {
    if (run.stored === IS_STORED) counts.stored += run.pages * pageSize;
    else if (run.stored === IS_ABSENT) counts.untouched += run.pages * pageSize;
  }
  counts.left = left + unscanned + crowded;
  const cut = (count: number, detail: string): void => {
    if (count > 0) gaps.push({ reason: 'truncated', name: `pid ${pid} memory: ${count} bytes left`, detail });
  };
  cut(left, 'the limit of bytes was met: private and deleted memory was kept first');
  cut(unscanned, `more than ${MAX_SCANNED} bytes of address space were to be looked through`);
  cut(crowded, `its memory lies in more than ${MAX_SEGMENTS} pieces`);
  return { segments: flatten(runs), counts, gaps };
}

function kindOf({ path, flags, start }: Region): 'memory' | 'device' | 'kernel' {
  if (/^\[(?:vvar|vvar_vclock|vsyscall)\]$/.test(path) || start >= 1n << 63n) return 'kernel';
  return / (?:io|pf) /.test(flags) ? 'device' : 'memory';
}

function deviceGap(pid: number, { start, end, path }: Region): Gap {
  const name = `pid ${pid} ${start.toString(16)}-${end.toString(16)} ${path.slice(0, 200)}`.trimEnd();
  return { reason: 'skipped', name, detail: "a device's memory: reading it may have effects, or never come back" };
}

function whole(region: number, { start, end }: Region, pageSize: number, stored: number): Run {
  return {
    region,
    first: Number(start / BigInt(pageSize)),
    pages: Number((end - start) / BigInt(pageSize)),
    stored,
  };
}

/** Untouched pages of private memory that no file and no handler stands behind are zeros by definition. */
function isZeroFilled({ inode, path, permissions, flags }: Region): boolean {
  return inode === '0' && permissions.endsWith('p') && !flags.includes(' um ') && (path === '' || path.startsWith('['));
}

/** The region as runs of pages that are there and runs that are not, without a hole between them. */
function runsOf(
  region: number,
  about: Region,
  pagemap: number,
  pageSize: number,
  progress: () => void,
): readonly Run[] {
  const { first, pages } = whole(region, about, pageSize, IS_ABSENT);
  const merged = isZeroFilled(about) ? MERGED_PAGES : 0;
  const runs: Run[] = [];
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  const words = new Uint32Array(buffer.buffer);
  const add = (count: number, stored: number): void => {
    const last = runs.at(-1);
    if (last?.stored === stored) {
      last.pages += count;
      return;
    }
    const before = runs.at(-2);
    if (stored === IS_STORED && last !== undefined && before !== undefined && last.pages < merged) {
      before.pages += last.pages + count;
      runs.pop();
      return;
    }
    runs.push({ region, first: last === undefined ? first : last.first + last.pages, pages: count, stored });
  };
  for (let done = 0; done < pages; ) {
    progress();
    const wanted = Math.min(CHUNK, (pages - done) * ENTRY_BYTES);
    const got = readSync(pagemap, buffer, 0, wanted, (first + done) * ENTRY_BYTES);
    const count = Math.floor(got / ENTRY_BYTES);
    if (count === 0) {
      add(pages - done, IS_ABSENT); // beyond what the process can have
      break;
    }
    if (buffer.compare(ZEROS, 0, count * ENTRY_BYTES, 0, count * ENTRY_BYTES) === 0) add(count, IS_ABSENT);
    else for (let page = 0; page < count; page++) add(1, isThere(words[page * 2 + 1] ?? 0) ? IS_STORED : IS_ABSENT);
    done += count;
  }
  return runs;
}

/** The upper half of an entry: bit 63 present, bit 62 swapped out, bit 58 a guard (madvise(2)), which has no content. */
function isThere(upper: number): boolean {
  return upper >>> 30 !== 0 && (upper & (1 << 26)) === 0;
}

/** Leaves out what is more than `pages`, files' pages first. Returns how many pages were left. */
function fit(runs: Run[], regions: readonly Region[], pages: number): number {
  let room = Math.floor(pages);
  let left = 0;
  const isOwn = ({ region }: Run): boolean => {
    const { inode = '0', path = '' } = regions[region] ?? {};
    return inode === '0' || path.endsWith(' (deleted)') || path.startsWith('/memfd:');
  };
  const added: Run[] = [];
  for (const own of [true, false]) {
    for (const run of runs) {
      if (run.stored !== IS_STORED || isOwn(run) !== own) continue;
      const kept = Math.min(room, run.pages);
      room -= kept;
      if (kept === run.pages) continue;
      const rest = run.pages - kept;
      left += rest;
      if (kept === 0) {
        run.stored = IS_LEFT;
      } else {
        added.push({ region: run.region, first: run.first + kept, pages: rest, stored: IS_LEFT });
        run.pages = kept;
      }
    }
  }
  if (added.length > 0) {
    runs.push(...added);
    runs.sort((a, b) => a.first - b.first);
  }
  return left;
}

function flatten(runs: readonly Run[]): Float64Array {
  const flat = new Float64Array(runs.length * SEGMENT_FIELDS);
  for (const [index, run] of runs.entries()) {
    const at = index * SEGMENT_FIELDS;
    flat[at + REGION] = run.region;
    flat[at + FIRST_PAGE] = run.first;
    flat[at + PAGES] = run.pages;
    flat[at + STORED] = run.stored;
  }
  return flat;
}
