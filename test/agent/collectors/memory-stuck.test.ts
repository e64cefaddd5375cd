// Processes whose memory makes whoever reads it wait for good: real mappings of files that a FUSE server never answers for.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { memory } from '../../../agent/collectors/memory.ts';
import type { NodeContext } from '../../../agent/context.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { type ProcessWalk, startWalk } from '../../../agent/host/walk.ts';
import type { Collector } from '../../../capture/index.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { stuckCommand } from '../../helpers/fuse.ts';
import { python } from '../../helpers/programs.ts';
import { needsRoot } from '../../helpers/small-disk.ts';

const KIBIBYTE = 1024;
/** One read of the collector's, and what a thread that hangs in it loses. */
const READ = 128 * KIBIBYTE;
const STUCK = 16 * READ;

/**
 * Has a text and touched pages. A line on its input puts a mapping of the file over those pages; with 0 bytes, one thread
 * hangs in such a mapping under the lock of its address space and the next waits to change it, so that whoever lists it
 * must wait, too.
 */
const TURNS = `
import ctypes, mmap, os, sys, threading, time
text = bytearray(b"kept-%d-" % os.getpid() * 1000)
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
size = int(sys.argv[2]) or mmap.PAGESIZE
touched = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
touched.write(b"turn" * (size // 4))
address = ctypes.addressof(ctypes.c_char.from_buffer(touched))
fd = os.open(sys.argv[1], os.O_RDONLY)
own = os.open("/proc/self/mem", os.O_RDONLY)
def hang():
    try:
        os.pread(own, 1, address)
    except OSError:
        pass  # the server has ended
def change():
    time.sleep(0.4)
    libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE, fd, 0)
print("ready", flush=True)
sys.stdin.readline()
assert libc.mmap(address, size, mmap.PROT_READ, mmap.MAP_PRIVATE | 0x10, fd, 0) == address  # MAP_FIXED
if sys.argv[2] == "0":
    threading.Thread(target=change).start()
    threading.Thread(target=hang).start()
    time.sleep(1)
print("turned", flush=True)
time.sleep(600)
`;

interface Turning {
  readonly pid: number;
  turn(): Promise<void>;
}

/** A file of `STUCK` bytes that opens, and of which no read ever comes back until the test has ended. */
async function stuckFile(t: TestContext): Promise<string> {
  const folder = await mkdtemp('/tmp/impound-test-');
  const [files, mounted] = [join(folder, 'files'), join(folder, 'mounted')];
  for (const at of [files, mounted]) await mkdir(at);
  await writeFile(join(files, 'stuck'), Buffer.alloc(STUCK, 's'));
  const [program = '', ...args] = stuckCommand(mounted, files, 'stuck');
  const server = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(server, 'exit');
  t.after(async () => {
    // its end answers all that waits: the threads that were left behind come back, and this process can end
    server.kill('SIGKILL');
    await exited;
    execFileSync('umount', ['-l', mounted]);
    await rm(folder, { recursive: true, force: true });
  });
  await Promise.race([once(server.stdout, 'data'), exited.then(() => Promise.reject(new Error('it did not start')))]);
  return join(mounted, 'stuck');
}

async function turning(t: TestContext, file: string, bytes: number): Promise<Turning> {
  const { child, pid } = await python(t, TURNS, [file, String(bytes)]);
  return { pid, turn: () => turn(child) };
}

async function turn(child: ChildProcess): Promise<void> {
  assert.ok(child.stdout !== null && child.stdin !== null);
  child.stdin.write('turn\n');
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  assert.equal(said.toString().trim(), 'turned');
}

/** The processes in the order given, as they were seen before any of them turned. */
async function walkOf(t: TestContext, pids: readonly number[]): Promise<ProcessWalk> {
  const walk = startWalk(hostAt('/'), { raw: false, signal: t.signal, pids });
  const found = await walk.index();
  const ordered = pids.flatMap((pid) => found.find((one) => one.pid === pid) ?? []);
  assert.equal(ordered.length, pids.length);
  return { index: async () => ordered, async *records() {}, gaps: () => [], leftBehind: () => false };
}

/** Looks for progress each second, not every five: what is under test is the bound, and how it is declared. */
function impatient(t: TestContext): void {
  const real = globalThis.setInterval;
  const faster = (work: () => void, milliseconds?: number) => real(work, Math.min(milliseconds ?? 0, 1000));
  t.mock.method(globalThis, 'setInterval', faster as typeof setInterval);
}

/** The collector, with `before` called between the listing of a process and the reading of its memory. */
function between(before: (pid: number) => Promise<void> | undefined): Collector<NodeContext> {
  return {
    ...memory,
    async *collect(context) {
      for await (const item of memory.collect(context)) {
        const [, pid] = item.kind === 'artefact' ? (/(\d+)-\d+\.core/.exec(item.path) ?? []) : [];
        if (pid !== undefined) await before(Number(pid));
        yield item;
      }
    },
  };
}

interface Row {
  readonly process: { readonly pid: number };
  readonly impound: {
    readonly core?: string;
    readonly truncated?: string;
    readonly bytes?: Readonly<Record<string, number>>;
    readonly unreadable?: readonly { readonly bytes: number; readonly why: string }[];
  };
}

test('memory that makes its readers wait costs a bounded number of threads; what was before stands, the rest is declared', {
  skip: needsRoot,
  timeout: 120_000,
}, async (t) => {
  if (!needs(t, 'python3')) return;
  const file = await stuckFile(t);
  const first = await turning(t, file, 4 * READ);
  const many = await turning(t, file, STUCK);
  const locked = await turning(t, file, 0);
  const whole = await turning(t, file, 4 * READ);
  const more = await turning(t, file, STUCK);
  const last = [await turning(t, file, 4 * READ), await turning(t, file, 4 * READ)];
  const all = [first, many, locked, whole, more, ...last];
  const walk = await walkOf(
    t,
    all.map(({ pid }) => pid),
  );
  await locked.turn();
  const turned = new Map([many, more].map(({ pid, turn }) => [pid, turn]));
  impatient(t);
  let left = 0;
  const { artefacts, gaps, footprint } = await collect(
    between((pid) => turned.get(pid)?.()),
    {
      profile: 'standard',
      suspects: all.map(({ pid }) => ({ kind: 'pid', pid })),
      walk,
      leftBehind: () => void left++,
    },
  );

  const rows = rowsOf(artefacts.get('40-memory/processes.jsonl')) as unknown as readonly Row[];
  const rowOf = (pid: number): Row['impound'] | undefined => rows.find(({ process }) => process.pid === pid)?.impound;
  // those whose turn came in between are whole, though others hang before and after them
  for (const { pid } of [first, whole]) {
    const row = rowOf(pid);
    assert.equal(row?.truncated, undefined);
    assert.ok(artefacts.get(row?.core ?? '')?.includes(`kept-${pid}-`.repeat(100)));
  }
  // four threads for one process: zeros for what they hung at in pieces that were finished, the rest is left
  const cut = rowOf(many.pid);
  assert.match(cut?.truncated ?? '', /^reading its memory did not come back, again and again: \d+ bytes left$/);
  const [, bytesLeft] = /(\d+) bytes left$/.exec(cut?.truncated ?? '') ?? [];
  assert.equal((cut?.bytes?.stored ?? 0) + Number(bytesLeft), cut?.bytes?.listed);
  for (const { bytes, why } of [many, more].flatMap(({ pid }) => rowOf(pid)?.unreadable ?? [])) {
    assert.ok(why === 'stuck' && bytes <= 3 * READ, `${why} ${bytes}`);
  }
  // one for the listing, and the three that were left of eight for the next
  assert.equal(rowOf(locked.pid)?.core, undefined);
  assert.match(rowOf(more.pid)?.truncated ?? '', /again and again/);
  for (const { pid } of last) assert.ok(![...artefacts.keys()].some((path) => path.startsWith(`40-memory/${pid}-`)));

  const zeros = 'reading these pages did not come back; zeros stand in their place';
  const told = gaps
    .filter(({ detail }) => detail !== zeros)
    .map(({ reason, name, detail }) => `${reason} ${name.replace(/\d+ bytes.*/, 'bytes')}: ${detail}`);
  assert.deepEqual(told, [
    `timeout pid ${many.pid} memory: bytes: reading its memory did not come back, again and again`,
    `timeout pid ${locked.pid} memory: listing it did not come back: the process is stuck, or makes whoever looks at its memory wait`,
    `timeout pid ${more.pid} memory: bytes: reading its memory did not come back, again and again`,
    'timeout memory of 2 processes: 8 threads hang in reads that do not come back: no more memory is read',
  ]);
  assert.equal(left, 3, 'whoever runs the capture is told that it must end hard');
  assert.equal(footprint.filter(({ detail }) => detail?.startsWith('a thread of ours hangs')).length, 3);
});
