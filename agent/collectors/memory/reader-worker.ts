// Worker thread: lists one process' memory, then reads it piece by piece as it is asked to. It may hang in a read, and
// is then left behind.
import { closeSync, readlinkSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { gapOf, Refusal } from '../../host/errno.ts';
import { childPath, openFolder, openKernelFile } from '../../host/open.ts';
import { kernelReader } from '../../host/read.ts';
import { parseStat } from '../../host/walk/stat.ts';
import { planSegments } from './pages.ts';
import {
  AT_PAGE,
  CHUNK_BYTES,
  FIRST_PAGE,
  IS_STORED,
  type Layout,
  LENGTH,
  type MemoryMessage,
  type MemoryOrder,
  PAGES,
  PROGRESS,
  type Program,
  SEGMENT_FIELDS,
  STORED,
  type Unreadable,
  WANTED,
} from './shared.ts';
import { MAX_REGIONS, readRegions } from './smaps.ts';

/** One call: what is lost where it does not come back, and little enough to be swapped in before that is thought. */
const READ_BYTES = 128 * 1024;
const PSARGS_BYTES = 80;
const AT_PAGESZ = 6n;
const AUXV_BYTES = 16_384;
const EXECUTED = 'its executable or auxiliary vector changed: the process executed another program meanwhile';

run(workerData as MemoryOrder);

function run(order: MemoryOrder): void {
  const counters = new Int32Array(order.counters);
  const progress = (): void => void Atomics.add(counters, PROGRESS, 1);
  try {
    // all is read below this one descriptor: a PID that is given to a new process meanwhile is not mixed up with it
    const folder = openFolder(`${order.proc}/${order.pid}`);
    const reader = kernelReader();
    const stat = reader.read(childPath(folder, 'stat'), 4096).bytes.toString('latin1');
    if (parseStat(stat)?.startTicks !== order.startTicks) {
      throw Object.assign(new Error('another process has this PID now'), { code: 'ESRCH' });
    }
    const program = programOf(folder);
    // each is bound to the address space that the process has when it is opened, and keeps to it after execve(2)
    const memory = openKernelFile(childPath(folder, 'mem'));
    const { resume } = order;
    if (resume === undefined) {
      const layout = listMemory(order, folder, { stat, program, progress });
      if (layout.regions.length === 0)
        throw new Refusal('absent', 'it has no memory: it has ended, and its parent has not asked how');
      serve(pieces(memory, layout, 0, [], counters), counters);
      post({ kind: 'layout', layout });
    } else {
      if (isOther(resume.program, program)) throw new Refusal('vanished', EXECUTED);
      serve(pieces(memory, resume, resume.position, resume.skip, counters), counters);
    }
    Atomics.sub(counters, WANTED, 1);
  } catch (error) {
    post({ kind: 'failed', gap: gapOf(error, `pid ${order.pid} memory`) });
  }
}

interface Begun {
  readonly stat: string;
  readonly program: Program;
  readonly progress: () => void;
}

function listMemory(
  { pid, startTicks, bytes }: MemoryOrder,
  folder: number,
  { stat, program, progress }: Begun,
): Layout {
  const pagemap = openKernelFile(childPath(folder, 'pagemap'));
  const smaps = openKernelFile(childPath(folder, 'smaps'));
  const reader = kernelReader();
  const read = (name: string, bound: number): Buffer => {
    progress();
    return Buffer.from(reader.read(childPath(folder, name), bound).bytes);
  };
  try {
    const status = read('status', 65_536).toString('latin1');
    const auxv = Buffer.from(program.auxv);
    const wide = pageSizeOf(auxv, 8);
    const pageSize = wide ?? pageSizeOf(auxv, 4) ?? 4096;
    const { regions, more } = readRegions(smaps, progress);
    const { segments, counts, gaps: found } = planSegments(pid, regions, { pagemap, pageSize, bytes, progress });
    const psargs = read('cmdline', PSARGS_BYTES);
    const name = `pid ${pid} memory`;
    const gaps = [...found];
    if (more) {
      const detail = `more than ${MAX_REGIONS} mappings; how many were left is not known`;
      gaps.push({ reason: 'truncated', name, detail });
    }
    const ticks = parseStat(read('stat', 4096).toString('latin1'))?.startTicks;
    if (ticks !== startTicks || isOther(program, programOf(folder))) {
      if (regions.length === 0) throw new Refusal('vanished', EXECUTED);
      gaps.push({ reason: 'vanished', name, detail: EXECUTED });
    }
    return {
      pageSize,
      program,
      auxv: wide === undefined ? undefined : auxv,
      stat,
      uid: Number(/^Uid:\s+(\d+)/m.exec(status)?.[1] ?? 0),
      gid: Number(/^Gid:\s+(\d+)/m.exec(status)?.[1] ?? 0),
      psargs,
      regions,
      segments,
      counts,
      gaps,
    };
  } finally {
    closeSync(pagemap);
    closeSync(smaps);
  }
}

function programOf(folder: number): Program {
  const auxv = Buffer.from(kernelReader().read(childPath(folder, 'auxv'), AUXV_BYTES).bytes);
  try {
    return { exe: readlinkSync(childPath(folder, 'exe')), auxv };
  } catch {
    return { exe: undefined, auxv }; // it has ended
  }
}

/** Not where the process has merely ended, or its executable was deleted: both go on with the memory that was listed. */
function isOther(before: Program, after: Program): boolean {
  if (before.auxv.length > 0 && after.auxv.length > 0 && Buffer.compare(before.auxv, after.auxv) !== 0) return true;
  const [first, then] = [before.exe, after.exe].map((exe) => exe?.replace(/ \(deleted\)$/, ''));
  return first !== undefined && then !== undefined && first !== then;
}

/** getauxval(3): pairs of words. Undefined where they are of another width, or the process has none. */
function pageSizeOf(auxv: Buffer, width: 4 | 8): number | undefined {
  const word = (at: number): bigint => (width === 8 ? auxv.readBigUInt64LE(at) : BigInt(auxv.readUInt32LE(at)));
  for (let at = 0; at + 2 * width <= auxv.length; at += 2 * width) {
    if (word(at) !== AT_PAGESZ) continue;
    const size = Number(word(at + width));
    return [4096, 16_384, 65_536].includes(size) ? size : undefined;
  }
  return undefined;
}

function serve(source: Generator<MemoryMessage>, counters: Int32Array): void {
  parentPort?.on('message', () => {
    const { value } = source.next();
    const message: MemoryMessage = value ?? { kind: 'end', gone: false };
    post(message, message.kind === 'bytes' ? [message.bytes.buffer as ArrayBuffer] : []);
    Atomics.sub(counters, WANTED, 1);
  });
}

/** The stored segments' bytes from `position` on, in pieces of CHUNK_BYTES; ends with `gone` where the process has. */
function* pieces(
  memory: number,
  { segments, pageSize }: Pick<Layout, 'segments' | 'pageSize'>,
  position: number,
  skip: readonly { readonly from: number; readonly to: number }[],
  counters: Int32Array,
): Generator<MemoryMessage> {
  let bytes = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let filled = 0;
  let unreadable: Unreadable[] = [];
  let at = 0;
  for (let index = 0; index < segments.length; index += SEGMENT_FIELDS) {
    if (segments[index + STORED] !== IS_STORED) continue;
    const size = (segments[index + PAGES] ?? 0) * pageSize;
    const start = BigInt(segments[index + FIRST_PAGE] ?? 0) * BigInt(pageSize);
    let done = Math.min(size, Math.max(0, position - at));
    while (done < size) {
      const length = Math.min(size - done, CHUNK_BYTES - filled, READ_BYTES);
      const address = start + BigInt(done);
      const target = bytes.subarray(filled, filled + length);
      const from = at + done;
      if (skip.some((range) => from < range.to && from + length > range.from)) {
        target.fill(0);
        unreadable.push({ start: address, bytes: length, why: 'stuck' });
      } else {
        counters[AT_PAGE] = from / pageSize;
        counters[LENGTH] = length;
        Atomics.add(counters, PROGRESS, 1);
        if (!readInto(target, memory, address, pageSize, unreadable, counters)) {
          yield { kind: 'end', gone: true };
          return;
        }
      }
      done += length;
      filled += length;
      if (filled < CHUNK_BYTES) continue;
      yield { kind: 'bytes', bytes, unreadable };
      bytes = Buffer.allocUnsafeSlow(CHUNK_BYTES);
      filled = 0;
      unreadable = [];
    }
    at += size;
  }
  if (filled > 0) yield { kind: 'bytes', bytes: bytes.subarray(0, filled), unreadable };
}

/** False where the process has no memory any more. A page that is refused becomes zeros. */
function readInto(
  target: Buffer,
  memory: number,
  address: bigint,
  pageSize: number,
  unreadable: Unreadable[],
  counters: Int32Array,
): boolean {
  for (let done = 0; done < target.length; ) {
    try {
      const got = readSync(memory, target, done, target.length - done, address + BigInt(done));
      if (got === 0) return false;
      done += got;
    } catch {
      Atomics.add(counters, PROGRESS, 1);
      const page = Math.min(pageSize - (done % pageSize), target.length - done);
      const start = address + BigInt(done);
      target.fill(0, done, done + page);
      const last = unreadable.at(-1);
      if (last !== undefined && last.why === 'refused' && last.start + BigInt(last.bytes) === start) {
        unreadable[unreadable.length - 1] = { ...last, bytes: last.bytes + page };
      } else {
        unreadable.push({ start, bytes: page, why: 'refused' });
      }
      done += page;
    }
  }
  return true;
}

function post(message: MemoryMessage, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}
