// Writes a disk's image as a plain sparse file: zero runs and what could not be read stay holes, all else is verified.
import { unlinkSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import {
  type ArtefactRecord,
  describeError,
  digestOf,
  errnoOf,
  ImpoundError,
  readChain,
  records,
  type Store,
} from '../../evidence/index.ts';
import { openBundle } from '../bundle.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { DiskRestoreArguments } from '../commands/disk-restore.ts';
import { escapeText, formatBytes, styled } from '../terminal/text.ts';
import { usage } from '../usage.ts';
import { type MapRow, readMap } from './disk-map.ts';
import { altered, contentOf, partsOfSegment, type SegmentReader, wholeSegment } from './disk-segment.ts';

/** Frames that are decompressed and written at once. */
const AT_ONCE = 3;

/** Bytes of the range that was asked for; they add up to its length. */
export interface Restored {
  data: number;
  zero: number;
  unreadable: number;
  /** Not read by the capture. */
  untried: number;
  /** The map names them and the bundle has not got them: the capture was cut off. */
  missing: number;
}

interface Range {
  readonly start: number;
  readonly end: number;
}

interface DiskImage {
  readonly map: ArtefactRecord;
  readonly segments: ReadonlyMap<number, ArtefactRecord>;
}

export async function runDiskRestore(argv: DiskRestoreArguments, environment: Environment): Promise<ExitCode> {
  if (argv.restore !== 'restore') throw usage(`"disk ${argv.restore}" is no command: it is "disk restore"`);
  const { store } = await openBundle(argv.bundle, argv);
  const image = await findImage(store, argv);
  await verifyMap(store, image.map);
  const size = await deviceSize(store, image.map);
  const range = rangeOf(argv, size);
  const whole = argv.offset === undefined && argv.length === undefined;
  const restored = await writeOut(argv.out, (out) => restore(store, image, range, whole, out));
  print(argv, restored, { whole, size, session: image.map.session }, environment);
  return 0;
}

/** Throws `object-missing` with the disks that the bundle has. */
async function findImage(store: Store, { device, session }: DiskRestoreArguments): Promise<DiskImage> {
  const all = records((await readChain(store)).map(({ statement }) => statement));
  const disks = all.flatMap((record) => {
    const [, name = '', file = ''] =
      /^data\/80-disk\/([^/]+)\/(map|\d+)(?:\.\d+)?\.(?:jsonl|img\.zst)$/.exec(record.path) ?? [];
    return name === '' ? [] : [{ name, file, record }];
  });
  const maps = disks.filter(({ name, file }) => name === device && file === 'map').map(({ record }) => record);
  const wanted = maps.filter((record) => session === undefined || record.session === session);
  const map = wanted.toSorted((a, b) => b.session - a.session)[0];
  if (map === undefined) {
    if (all.some(({ path }) => path === `data/80-disk/${device}/map.jsonl.age`)) throw encrypted(device);
    const names = [...new Set(disks.map(({ name }) => name))].join(', ');
    const has =
      maps.length > 0 ? `of sessions ${maps.map((record) => record.session).join(', ')}` : `of ${names || 'no disk'}`;
    const message = `the bundle has no such image of "${escapeText(device)}"; it has images ${has}`;
    throw new ImpoundError('object-missing', message, { operation: 'restore disk', thing: device });
  }
  const own = disks.filter(
    ({ name, file, record }) => name === device && file !== 'map' && record.session === map.session,
  );
  return { map, segments: new Map(own.map(({ file, record }) => [Number(file), record])) };
}

function encrypted(device: string): ImpoundError {
  return new ImpoundError(
    'key-unsuitable',
    `the image of ${escapeText(device)} is encrypted, and only a plain one can be restored: "impound pull BUNDLE DIR --reason TEXT --only '80-disk/**' --identity FILE" decrypts its segments and the map that says where each frame belongs`,
    { operation: 'restore disk', thing: device },
  );
}

async function verifyMap(store: Store, { path, sha256 }: ArtefactRecord): Promise<void> {
  if ((await digestOf(store.read(path))).sha256 !== sha256) throw altered(path);
}

async function deviceSize(store: Store, { path }: ArtefactRecord): Promise<number> {
  for await (const row of readMap(store.read(path), path)) if (row.kind === 'device') return row.bytes;
  return 0;
}

function rangeOf({ offset = 0, length }: DiskRestoreArguments, size: number): Range {
  const end = length === undefined ? size : offset + length;
  const valid =
    [offset, length ?? 0].every((value) => Number.isSafeInteger(value) && value >= 0) && offset <= end && end <= size;
  if (valid) return { start: offset, end };
  throw usage(`--offset and --length must be bytes within the disk, which has ${size}`);
}

/** Makes OUT, which must not exist, and removes it again unless `work` succeeds: what is half an image looks like one. */
async function writeOut<T>(path: string, work: (out: FileHandle) => Promise<T>): Promise<T> {
  let out: FileHandle;
  try {
    out = await open(path, 'wx', 0o600);
  } catch (cause) {
    const why = errnoOf(cause) === 'EEXIST' ? 'it is there already, and nothing is overwritten' : describeError(cause);
    throw new ImpoundError('usage', `${path} cannot be made: ${why}`, {
      operation: 'restore disk',
      thing: path,
      cause,
    });
  }
  const interrupted = (): never => {
    unlinkSync(path);
    process.exit(130);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.once(signal, interrupted);
  try {
    const result = await work(out);
    await out.sync();
    return result;
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    for (const signal of signals) process.off(signal, interrupted);
    await out.close();
  }
}

async function restore(
  store: Store,
  image: DiskImage,
  range: Range,
  whole: boolean,
  out: FileHandle,
): Promise<Restored> {
  const restored: Restored = { data: 0, zero: 0, unreadable: 0, untried: 0, missing: 0 };
  const writing = new Set<Promise<void>>();
  let reader: { readonly number: number; readonly frames: SegmentReader; readonly path: string } | undefined;
  let failure: unknown;
  await out.truncate(range.end - range.start);
  try {
    for await (const row of readMap(store.read(image.map.path), image.map.path)) {
      if (row.kind === 'device' || row.kind === 'end') continue;
      const part = overlap(row, range);
      const wanted = part.end - part.start;
      if (row.kind !== 'data') restored[row.kind] += wanted;
      if (row.kind !== 'data' || wanted === 0) continue;
      if (reader?.number !== row.segment) {
        await reader?.frames.finish();
        const segment = image.segments.get(row.segment);
        const frames = segment === undefined ? ABSENT : (whole ? wholeSegment : partsOfSegment)(store, segment);
        reader = { number: row.segment, frames, path: segment?.path ?? '' };
      }
      const frame = await reader.frames.frame(row.frame);
      restored[frame === undefined ? 'missing' : 'data'] += wanted;
      if (frame === undefined) continue;
      const { path } = reader;
      const written: Promise<void> = contentOf(frame, row.length, path)
        .then((content) =>
          writeAll(out, content.subarray(part.start - row.offset, part.end - row.offset), part.start - range.start),
        )
        .catch((error: unknown) => {
          failure ??= error;
        })
        .finally(() => writing.delete(written));
      writing.add(written);
      if (writing.size >= AT_ONCE) await Promise.race(writing);
      if (failure !== undefined) break;
    }
    await Promise.all(writing);
    if (failure !== undefined) throw failure;
    await reader?.frames.finish();
  } catch (error) {
    await Promise.all(writing);
    await reader?.frames.abandon();
    throw error;
  }
  const mapped = Object.values(restored).reduce((sum, bytes) => sum + bytes, 0);
  restored.untried += range.end - range.start - mapped; // a map that was cut off does not reach the end
  return restored;
}

/** A segment that was never stored: the capture was cut off just before. */
const ABSENT: SegmentReader = { frame: async () => undefined, finish: async () => {}, abandon: async () => {} };

function overlap({ offset, length }: Exclude<MapRow, { kind: 'device' | 'end' }>, range: Range): Range {
  const start = Math.min(Math.max(offset, range.start), range.end);
  return { start, end: Math.max(start, Math.min(offset + length, range.end)) };
}

async function writeAll(out: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await out.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

function print(
  { device, out }: DiskRestoreArguments,
  restored: Restored,
  about: { readonly whole: boolean; readonly size: number; readonly session: number },
  { json, stdout }: Environment,
): void {
  if (json) {
    stdout.write(`${JSON.stringify({ device, out, ...about, ...restored })}\n`);
    return;
  }
  const { data, zero, unreadable, untried, missing } = restored;
  stdout.write(`restored  ${escapeText(out)}: ${formatBytes(data)} of data, ${formatBytes(zero)} of zeros\n`);
  const lost = [
    [unreadable, 'could not be read from the disk'],
    [untried, 'were not read by the capture'],
    [missing, 'are not in the bundle: the capture was cut off'],
  ] as const;
  for (const [bytes, why] of lost) {
    if (bytes > 0)
      stdout.write(`${styled('yellow', `!         ${bytes} bytes ${why}; they are zero in this file`, stdout)}\n`);
  }
  stdout.write(
    about.whole
      ? 'checked   every segment read is what the chain says; "verify" checks the chain itself\n'
      : 'checked   the map is what the chain says, each frame by its own checksum; "verify" checks the rest\n',
  );
}
