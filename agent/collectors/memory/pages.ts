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

/** Program headers of a core, beside one for each mapping that is not looked into: 14 MiB of them. */
const MAX_SEGMENTS = 262_144;
/** Of one mapping: one that is touched here and there must not take them all. */
const MAX_REGION_SEGMENTS = 131_072;
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

/**
 * `pagemap` is an open descriptor; `bytes` what may be stored. Regions with few pages in memory come first, so that a
 * limit meets the giant one and not what is beside it. Throws the system's errors.
 */
export function planSegments(
  pid: number,
  regions: readonly Region[],
  { pagemap, pageSize, bytes, progress }: { pagemap: number; pageSize: number; bytes: number; progress: () => void },
): Plan {
  const runs: Run[] = [];
  const gaps: Gap[] = [];
  const counts = { stored: 0, untouched: 0, untouchedDeleted: 0, device: 0, kernel: 0, left: 0 };
  const scanned = regionsToScan(regions);
  let unscanned = 0;
  let crowded = 0;
  let pieces = 0;
  let scattered = 0;
  const byResident = [...regions.entries()].sort(([, a], [, b]) => a.resident - b.resident);
  for (const [index, region] of byResident) {
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
    } else if (region.resident === 0) {
      runs.push(whole(index, region, pageSize, IS_ABSENT));
    } else if (!scanned.has(region)) {
      unscanned += region.resident;
      runs.push(whole(index, region, pageSize, IS_LEFT));
    } else if (pieces >= MAX_SEGMENTS) {
      crowded += region.resident;
      runs.push(whole(index, region, pageSize, IS_LEFT));
    } else {
      const room = Math.min(MAX_REGION_SEGMENTS, MAX_SEGMENTS - pieces);
      const found = runsOf(index, region, { pagemap, pageSize, progress, room });
      pieces += found.runs.length;
      for (const run of found.runs) runs.push(run);
      if (room === MAX_REGION_SEGMENTS) scattered += found.left * pageSize;
      else crowded += found.left * pageSize;
    }
  }
  const left = fit(runs, regions, bytes / pageSize) * pageSize;
  runs.sort((a, b) => a.first - b.first);
  for (const run of runs) {
    const size = run.pages * pageSize;
    if (run.stored === IS_STORED) counts.stored += size;
    if (run.stored !== IS_ABSENT) continue;
    counts.untouched += size;
    if (isDeleted(regions[run.region])) counts.untouchedDeleted += size;
  }
  counts.left = left + unscanned + crowded + scattered;
  const cut = (count: number, detail: string): void => {
    if (count > 0) gaps.push({ reason: 'truncated', name: `pid ${pid} memory: ${count} bytes left`, detail });
  };
  cut(left, 'the limit of bytes was met: private and deleted memory was kept first');
  cut(unscanned, `more than ${MAX_SCANNED} bytes of address space were to be looked through`);
  cut(scattered, `a mapping of it lies in more than ${MAX_REGION_SEGMENTS} pieces`);
  cut(crowded, `its memory lies in more than ${MAX_SEGMENTS} pieces`);
  return { segments: flatten(runs), counts, gaps };
}

function kindOf({ path, flags, start }: Region): 'memory' | 'device' | 'kernel' {
  if (/^\[(?:vvar|vvar_vclock|vsyscall)\]$/.test(path) || start >= 1n << 63n) return 'kernel';
  return / (?:io|pf) /.test(flags) ? 'device' : 'memory';
}

/** Those with pages in memory, small ones first, up to the bound: one that is reserved and hardly touched loses first. */
function regionsToScan(regions: readonly Region[]): ReadonlySet<Region> {
  const sizeOf = ({ start, end }: Region): number => Number(end - start);
  const touched = regions.filter((region) => region.resident > 0 && kindOf(region) === 'memory');
  const chosen = new Set<Region>();
  let scanned = 0;
  for (const region of touched.sort((a, b) => sizeOf(a) - sizeOf(b))) {
    scanned += sizeOf(region);
    if (scanned > MAX_SCANNED) break;
    chosen.add(region);
  }
  return chosen;
}

function deviceGap(pid: number, { start, end, path }: Region): Gap {
  const name = `pid ${pid} ${start.toString(16)}-${end.toString(16)} ${path.slice(0, 200)}`.trimEnd();
  return { reason: 'skipped', name, detail: "a device's memory: reading it may have effects, or never come back" };
}

/** What has no name on disk any more, or never had one: memfd_create(2), shared memory, deleted files. */
function isDeleted(region: Region | undefined): boolean {
  return region?.path.endsWith(' (deleted)') === true || region?.path.startsWith('/memfd:') === true;
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

interface Scan {
  readonly pagemap: number;
  readonly pageSize: number;
  readonly progress: () => void;
  /** Runs, beside one for what is left. */
  readonly room: number;
}

/**
 * The region as runs of pages that are there and runs that are not, without a hole between them. Where there is no room
 * for more runs its rest is one, of which `left` pages are there.
 */
function runsOf(
  region: number,
  about: Region,
  { pagemap, pageSize, progress, room }: Scan,
): { readonly runs: readonly Run[]; readonly left: number } {
  const { first, pages } = whole(region, about, pageSize, IS_ABSENT);
  const merged = isZeroFilled(about) ? MERGED_PAGES : 0;
  const runs: Run[] = [];
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  const words = new Uint32Array(buffer.buffer);
  let rest: Run | undefined;
  let left = 0;
  const add = (count: number, stored: number): void => {
    const last = runs.at(-1);
    if (rest !== undefined) {
      rest.pages += count;
      if (stored === IS_STORED) left += count;
      return;
    }
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
    const next = { region, first: last === undefined ? first : last.first + last.pages, pages: count, stored };
    runs.push(next);
    if (runs.length <= room) return;
    rest = next;
    if (stored === IS_STORED) left += count;
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
  if (rest !== undefined) rest.stored = left > 0 ? IS_LEFT : IS_ABSENT;
  return { runs, left };
}

/** The upper half of an entry: bit 63 present, bit 62 swapped out, bit 58 a guard (madvise(2)), which has no content. */
function isThere(upper: number): boolean {
  return upper >>> 30 !== 0 && (upper & (1 << 26)) === 0;
}

/** Leaves out what is more than `pages`, files' pages first. Returns how many pages were left. */
function fit(runs: Run[], regions: readonly Region[], pages: number): number {
  let room = Math.floor(pages);
  let left = 0;
  const isOwn = ({ region }: Run): boolean => regions[region]?.inode === '0' || isDeleted(regions[region]);
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
  runs.push(...added);
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
