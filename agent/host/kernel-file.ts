// Bounded synchronous reading of kernel files: the kind is checked before anything is opened, nothing ever blocks.
import { closeSync, fstatSync, lstatSync, readSync, type Stats } from 'node:fs';
import { errnoOf, type GapReason, ImpoundError } from '../../evidence/index.ts';
import { DENIED, gapReason, VANISHED } from './errno.ts';
import { openKernelFile } from './open.ts';

export interface OpenFile {
  readonly kind: 'file';
  readonly fd: number;
  readonly stats: Stats;
}

/** Why a file could not be read, in a gap's words. */
export interface Unreadable {
  readonly kind: 'unreadable';
  readonly reason: GapReason;
  readonly detail: string;
}

const CHUNK = 256 * 1024;
/** Most of these files are short: all are read into this, and leave as copies of what they are. */
const scratch = Buffer.allocUnsafeSlow(CHUNK);

/**
 * Opens a regular file that has a read bit, without following a last link and without waiting for a writer of a FIFO.
 * What has no read bit is not opened, even by root: on /proc/sys and tracefs such a file acts when it is touched.
 */
export function openFile(path: string): OpenFile | Unreadable {
  try {
    const before = lstatSync(path);
    if (!before.isFile())
      return { kind: 'unreadable', reason: 'skipped', detail: `not a regular file: ${kindOf(before)}` };
    if ((before.mode & 0o444) === 0) {
      return {
        kind: 'unreadable',
        reason: 'skipped',
        detail: 'write-only: it acts when it is used, so it was not opened',
      };
    }
    const fd = openKernelFile(path);
    const stats = fstatSync(fd);
    if (stats.isFile()) return { kind: 'file', fd, stats };
    closeSync(fd);
    return { kind: 'unreadable', reason: 'skipped', detail: `not a regular file: ${kindOf(stats)}` };
  } catch (error) {
    return unreadable(error);
  }
}

/** What a system error means for the evidence. */
export function unreadable(error: unknown): Unreadable {
  if (error instanceof ImpoundError && error.code === 'path-invalid') {
    return { kind: 'unreadable', reason: 'skipped', detail: 'not a regular file' };
  }
  const errno = errnoOf(error);
  if (errno === undefined) throw error;
  const reason = errno === 'ESRCH' ? 'vanished' : gapReason(errno, 'absent');
  const details: Partial<Record<GapReason, string>> = { absent: 'not there', vanished: VANISHED, denied: DENIED };
  return { kind: 'unreadable', reason, detail: details[reason] ?? `${errno} while it was read` };
}

/**
 * What is in an open file, in chunks of up to 256 KiB, until its end or `limit` bytes. Kernel files have no size, so
 * that they go on after the limit is found by reading one byte more; the value returned says whether they do.
 */
export function* chunksOf(fd: number, limit: number): Generator<Buffer, { readonly more: boolean }> {
  let left = limit;
  for (;;) {
    const wanted = Math.min(CHUNK, left + 1);
    let filled = 0;
    let ended = false;
    while (filled < wanted && !ended) {
      const count = readSync(fd, scratch, filled, wanted - filled, null);
      ended = count === 0;
      filled += count;
    }
    const kept = Math.min(filled, left);
    left -= kept;
    if (kept > 0) yield Buffer.from(scratch.subarray(0, kept));
    if (filled > kept) return { more: true };
    if (ended) return { more: false };
  }
}

export interface WholeFile {
  readonly kind: 'whole';
  readonly bytes: Buffer;
  /** The file goes on after the limit. */
  readonly more: boolean;
  readonly stats: Stats;
}

/** A small file as a whole, cut at `limit` bytes. */
export function readWhole(path: string, limit: number): WholeFile | Unreadable {
  const opened = openFile(path);
  if (opened.kind === 'unreadable') return opened;
  try {
    const chunks: Buffer[] = [];
    const reading = chunksOf(opened.fd, limit);
    let step = reading.next();
    for (; step.done !== true; step = reading.next()) chunks.push(step.value);
    return { kind: 'whole', bytes: Buffer.concat(chunks), more: step.value.more, stats: opened.stats };
  } catch (error) {
    return unreadable(error);
  } finally {
    closeSync(opened.fd);
  }
}

function kindOf(stats: Stats): string {
  if (stats.isFIFO()) return 'FIFO';
  if (stats.isSymbolicLink()) return 'symbolic link';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSocket()) return 'socket';
  return stats.isBlockDevice() ? 'block device' : 'character device';
}
