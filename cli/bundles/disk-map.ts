// Reads the map of a disk's image, line by line: it may come from a hostile bundle, so every figure is checked.
import { ImpoundError } from '../../evidence/index.ts';

const MAX_LINE_BYTES = 64 * 1024;
/** A frame holds 4 MiB; a reader of ours takes what another version may have made. */
const MAX_FRAME_BYTES = 64 * 1024 ** 2;

/** Bytes; `offset` and `length` of the disk, `frame` within the stored segment. */
export type MapRow =
  | { readonly kind: 'device'; readonly bytes: number }
  | {
      readonly kind: 'data';
      readonly offset: number;
      readonly length: number;
      readonly segment: number;
      readonly frame: { readonly offset: number; readonly length: number };
    }
  | { readonly kind: 'zero' | 'unreadable' | 'untried'; readonly offset: number; readonly length: number }
  | { readonly kind: 'end' };

/**
 * The rows in order: first the device, then ranges that ascend without overlap, within the device. A last line without
 * its newline was cut off with the capture, and is left out. Throws `content-damaged`.
 */
export async function* readMap(bytes: AsyncIterable<Uint8Array>, thing: string): AsyncGenerator<MapRow> {
  let size: number | undefined;
  let done = 0;
  let segment = -1;
  let stored = 0;
  for await (const line of lines(bytes, thing)) {
    const row = parse(line, thing);
    if ((row.kind === 'device') !== (size === undefined))
      throw damaged(thing, 'its first line must be the device, once');
    if (row.kind === 'device') size = row.bytes;
    if (row.kind !== 'device' && row.kind !== 'end') {
      if (row.offset < done || row.offset + row.length > (size ?? 0)) throw damaged(thing, 'its ranges do not ascend');
      done = row.offset + row.length;
    }
    if (row.kind === 'data') {
      if (row.segment < segment) throw damaged(thing, 'its segments do not ascend');
      if (row.segment > segment) stored = 0;
      if (row.frame.offset < stored) throw damaged(thing, 'its frames overlap');
      segment = row.segment;
      stored = row.frame.offset + row.frame.length;
    }
    yield row;
  }
  if (size === undefined) throw damaged(thing, 'it is empty');
}

async function* lines(bytes: AsyncIterable<Uint8Array>, thing: string): AsyncGenerator<string> {
  let pending = Buffer.alloc(0);
  for await (const chunk of bytes) {
    pending = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk]);
    let start = 0;
    for (let end = pending.indexOf(10); end !== -1; end = pending.indexOf(10, start)) {
      yield pending.toString('utf8', start, end);
      start = end + 1;
    }
    pending = pending.subarray(start);
    if (pending.length > MAX_LINE_BYTES) throw damaged(thing, `it has a line of more than ${MAX_LINE_BYTES} bytes`);
  }
}

function parse(line: string, thing: string): MapRow {
  const value = record(record(json(line)).impound);
  const { kind, offset, length, segment } = value;
  if (kind === 'end') return { kind };
  if (kind === 'device' && isSize(value.bytes)) return { kind, bytes: value.bytes };
  if (isSize(offset) && isSize(length)) {
    if (kind === 'zero' || kind === 'unreadable' || kind === 'untried') return { kind, offset, length };
    const frame = record(value.frame);
    const bounded = isSize(frame.offset) && isSize(frame.length) && frame.length <= MAX_FRAME_BYTES;
    if (kind === 'data' && bounded && length > 0 && length <= MAX_FRAME_BYTES && isSize(segment)) {
      return { kind, offset, length, segment, frame: { offset: Number(frame.offset), length: Number(frame.length) } };
    }
  }
  throw damaged(thing, 'it has a line that is no range of a disk');
}

function json(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined; // no line of a map: its caller says so
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/** Small enough that sums of two stay exact. */
function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= 2 ** 52;
}

function damaged(thing: string, why: string): ImpoundError {
  return new ImpoundError('content-damaged', `${thing}: ${why}`, { operation: 'read map', thing });
}
