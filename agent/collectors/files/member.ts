// A found file as a member of an archive, under its host path; of a log that is over its bound the newest bytes are kept.
import { closeSync, read as readCallback } from 'node:fs';
import { promisify } from 'node:util';
import type { Gap, Member, MemberRecord } from '../../../evidence/index.ts';
import { gapOf } from '../../host/errno.ts';
import { memberFields } from '../../host/file-fields.ts';
import { type OpenFile, openPinned } from '../../host/open.ts';
import { type Pinned, pinAt, type Root } from '../../host/pin.ts';
import { memberOf } from '../../host/tree-archive.ts';
import type { Found } from './find.ts';

const readAsync = promisify(readCallback);
const CHUNK_BYTES = 1024 * 1024;
/** Their end alone cannot be unpacked. */
const COMPRESSED = /\.(?:gz|bz2|xz|lzma|zst|lz4|Z)$/;

export interface ListedOptions {
  readonly root: Root;
  gap(gap: Gap): void;
  /** Bytes of content that are left for the whole archive: counted down. */
  readonly budget: { left: number };
  readonly recorded: (record: MemberRecord, found: Found, now: Pinned) => Promise<unknown>;
}

/** One member, or two where both ends of a sparse file are kept; none where it cannot be had, which is a gap. */
export function membersOf(found: Found, options: ListedOptions): readonly Member[] {
  const shown = `/${found.path.toString('utf8')}`;
  let now: Pinned;
  try {
    now = pinAt(options.root, found.path, 'none');
  } catch (error) {
    options.gap(gapOf(error, shown));
    return [];
  }
  try {
    if (`${now.stats.dev} ${now.stats.ino}` !== found.identity) {
      const detail = 'replaced by another file between listing and reading; what stands there now was taken';
      options.gap({ reason: 'vanished', name: shown, detail });
    }
    const budget = found.share === undefined ? options.budget : bothOf(options.budget, found.share);
    const recorded = (record: MemberRecord): Promise<unknown> => options.recorded(record, found, now);
    const size = now.kind === 'file' ? Number(now.stats.size) : 0;
    const fileBytes = Math.min(found.group.fileBytes, found.share?.lengthLeft ?? Number.POSITIVE_INFINITY);
    if (found.share !== undefined) found.share.lengthLeft -= Math.min(size, fileBytes);
    if (found.group.keep === 'last' && !COMPRESSED.test(shown)) {
      const cost = Math.min(size, onDiskOf(now));
      if (size > fileBytes || cost > budget.left)
        return lastBytes(now, found, Math.min(fileBytes, budget.left), { ...options, budget, recorded });
    }
    const item = { ...now, open: () => openPinned(now.fd) };
    const member = memberOf(item, {
      prefix: '',
      label: '/',
      gap: options.gap,
      fileBytes,
      budget,
      recorded,
    });
    return member === undefined ? [] : [member];
  } catch (error) {
    options.gap(gapOf(error, shown));
    return [];
  } finally {
    closeSync(now.fd);
  }
}

/** What is spent is taken from both. */
function bothOf(archive: { left: number }, share: { left: number }): { left: number } {
  return {
    get left() {
      return Math.min(archive.left, share.left);
    },
    set left(left: number) {
      const spent = Math.min(archive.left, share.left) - left;
      archive.left -= spent;
      share.left -= spent;
    },
  };
}

function onDiskOf({ stats }: Pinned): number {
  return Number(stats.blocks) * 512;
}

interface Part {
  readonly name: Buffer;
  readonly from: number;
  readonly size: number;
  readonly left: string;
}

/**
 * The end of a file, as far as the bound goes. A hole in a sparse file may be at either end (a log that was cut while
 * its writer went on, a size that was only set), so that of such a file the first bytes are kept too, as "NAME.first".
 */
function lastBytes(
  pinned: Pinned,
  { group, path }: Found,
  bound: number,
  options: Pick<ListedOptions, 'gap' | 'budget'> & { readonly recorded: (record: MemberRecord) => Promise<unknown> },
): readonly Member[] {
  const shown = `/${path.toString('utf8')}`;
  const { fd, stats } = pinned;
  const size = Number(stats.size);
  const onDisk = onDiskOf(pinned);
  const both = onDisk < size;
  const kept = wholeRecords(both ? Math.floor(bound / 2) : bound, group.record);
  // holes cost nothing: a size is quickly set
  options.budget.left -= both ? Math.min(2 * kept, onDisk) : kept;
  const why =
    kept === 0 || bound < group.fileBytes
      ? 'the archive, or the home it is of, has its bytes'
      : `larger than ${group.fileBytes} bytes`;
  const left = size - (both ? 2 : 1) * kept;
  const sparse = both ? `, ${onDisk} of them on disk` : '';
  options.gap({
    reason: 'truncated',
    name: `${shown}: ${left} of ${size} bytes left${sparse}`,
    detail: both ? `${why}; both ends were kept` : `${why}; the last bytes were kept`,
  });
  // a size that is no whole number of records: what was written last begins at one all the same
  const torn = group.record === undefined ? 0 : size % group.record;
  const last: Part = {
    name: path,
    from: size - torn - kept,
    size: kept + torn,
    left: `first ${size - torn - kept} bytes left: ${why}`,
  };
  const first: Part = {
    name: Buffer.concat([path, Buffer.from('.first')]),
    from: 0,
    size: kept,
    left: `last ${size - kept} bytes left: ${why}`,
  };
  return (both ? [first, last] : [last]).map((part) => ({
    name: part.name,
    ...memberFields(stats),
    truncated: part.left,
    recorded: options.recorded,
    content:
      part.size === 0
        ? new Uint8Array(0)
        : { size: part.size, bytes: streamPart(openPinned(fd), part.from, part.size) },
  }));
}

function wholeRecords(bytes: number, record = 1): number {
  return Math.floor(bytes / record) * record;
}

/** `size` bytes from `from` on; closes the file at the end. */
async function* streamPart({ fd }: OpenFile, from: number, size: number): AsyncGenerator<Buffer> {
  try {
    for (let position = from; position < from + size; ) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, from + size - position));
      const { bytesRead } = await readAsync(fd, chunk, 0, chunk.length, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield chunk.subarray(0, bytesRead);
    }
  } finally {
    closeSync(fd);
  }
}
