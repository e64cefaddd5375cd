import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { type CoreResult, coreContent } from '../../../agent/collectors/memory/content.ts';
import { openMemory, type ProcessMemory } from '../../../agent/collectors/memory/reader.ts';
import { memory } from '../../../agent/collectors/memory.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { startWalk } from '../../../agent/host/walk.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { stuckCommand } from '../../helpers/fuse.ts';
import { python } from '../../helpers/programs.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

const execute = promisify(execFile);

/** Plants a text in its heap, reserves 1 TiB, hides a text behind PROT_NONE, and has pages a userfaultfd answers for. */
const PLANTER = String.raw`
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
static void *map(size_t size, int flags) {
  return mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}
int main(void) {
  char *planted = malloc(100);
  snprintf(planted, 100, "planted-%d-in-the-heap", getpid());
  char *huge = map(1UL << 40, MAP_NORESERVE);
  strcpy(huge + (1UL << 39), "in the middle of nothing");
  char *hidden = map(4096, 0);
  strcpy(hidden, "hidden behind PROT_NONE");
  mprotect(hidden, 4096, PROT_NONE);
  int handler = syscall(SYS_userfaultfd, O_CLOEXEC);
  struct uffdio_api api = {.api = UFFD_API};
  char *waiting = map(8192, 0);
  struct uffdio_register reg = {
    .range = {.start = (unsigned long)waiting, .len = 8192}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  int handled = handler >= 0 && ioctl(handler, UFFDIO_API, &api) == 0 && ioctl(handler, UFFDIO_REGISTER, &reg) == 0;
  printf("%p %p %p %d\n", planted, huge + (1UL << 39), hidden, handled);
  fflush(stdout);
  pause();
}
`;

interface Planted {
  readonly pid: number;
  readonly program: string;
  readonly heap: string;
  readonly middle: string;
  readonly hidden: string;
  readonly handled: boolean;
}

async function planter(t: TestContext): Promise<Planted> {
  const folder = await temporaryFolder(t);
  const program = join(folder, 'planter');
  await writeFile(`${program}.c`, PLANTER);
  await execute('gcc', ['-o', program, `${program}.c`]);
  const child = spawn(program, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const [heap = '', middle = '', hidden = '', handled = ''] = line.toString().trim().split(' ');
  return { pid: child.pid ?? 0, program, heap, middle, hidden, handled: handled === '1' };
}

interface Row {
  readonly process: { readonly pid: number };
  readonly impound: {
    readonly core: string;
    readonly bytes: Readonly<Record<string, number>>;
    readonly userfaultfd?: boolean;
    readonly truncated?: string;
  };
}

function ofSuspect(pid: number): Promise<Collected> {
  return collect(memory, { profile: 'standard', suspects: [{ kind: 'pid', pid }] });
}

function rowOf({ artefacts }: Collected, pid: number): Row {
  const rows = rowsOf(artefacts.get('40-memory/processes.jsonl')) as unknown as readonly Row[];
  const row = rows.find(({ process }) => process.pid === pid);
  assert.ok(row);
  return row;
}

test('gdb reads planted texts out of the core, and what was reserved or hidden costs nothing', async (t) => {
  if (!needs(t, 'gcc', 'gdb')) return;
  const planted = await planter(t);
  const collected = await ofSuspect(planted.pid);
  const row = rowOf(collected, planted.pid);
  const core = collected.artefacts.get(row.impound.core);
  assert.ok(core !== undefined && core.length < 16 * 1024 * 1024);
  assert.ok(core.includes(`planted-${planted.pid}-in-the-heap`));
  assert.equal(row.impound.bytes.unreadable, 0);
  assert.equal(row.impound.bytes.stored, row.impound.bytes.listed);
  assert.ok((row.impound.bytes.untouched ?? 0) > 2 ** 39);
  assert.equal(row.impound.userfaultfd, planted.handled ? true : undefined);
  assert.deepEqual(collected.gaps, []);

  const file = join(await temporaryFolder(t), 'core');
  await writeFile(file, core);
  const wanted = [planted.heap, planted.middle, planted.hidden].flatMap((address) => ['-ex', `x/s ${address}`]);
  const { stdout, stderr } = await execute('gdb', [
    '-nx',
    '-batch',
    ...wanted,
    '-ex',
    'info auxv',
    planted.program,
    file,
  ]);
  assert.match(stderr, /^(?:\s*warning: Couldn't find general-purpose registers in core file\.)+\s*$/);
  assert.match(stdout, new RegExp(`planted-${planted.pid}-in-the-heap`));
  assert.match(stdout, /in the middle of nothing/);
  assert.match(stdout, /hidden behind PROT_NONE/);
  assert.match(stdout, /AT_ENTRY/);
});

test('memory in more pieces than a core has room to count is still a core', async (t) => {
  if (!needs(t, 'gcc')) return;
  const { pid } = await python(
    t,
    `
import mmap, time
m = mmap.mmap(-1, 17 * 4096 * 35000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.madvise(mmap.MADV_NOHUGEPAGE)
for page in range(0, 17 * 35000, 17):
    m[page * 4096] = 1
print("ready", flush=True)
time.sleep(100)
`,
  );
  const collected = await ofSuspect(pid);
  const { core } = rowOf(collected, pid).impound;
  const file = join(await temporaryFolder(t), 'core');
  await writeFile(file, collected.artefacts.get(core) ?? '');
  const { stdout, stderr } = await execute('readelf', ['-hl', file], { maxBuffer: 64 * 1024 * 1024 });
  const [, headers] = /Number of program headers: +65535 \((\d+)\)/.exec(stdout) ?? [];
  assert.ok(Number(headers) > 70_000, stdout.slice(0, 2000));
  assert.equal(stderr, '');
});

async function openPid(t: TestContext, pid: number): Promise<ProcessMemory> {
  const [summary] = await startWalk(hostAt('/'), { raw: false, signal: t.signal, pids: [pid] }).index();
  const startTicks = summary?.startTicks ?? '';
  const opened = await openMemory({ proc: '/proc', pid, startTicks, bytes: Number.MAX_SAFE_INTEGER, threads: 4 });
  assert.ok(!('gap' in opened));
  return opened;
}

async function coreOf(
  pid: number,
  opened: ProcessMemory,
): Promise<{ readonly bytes: Buffer; readonly result: CoreResult | undefined }> {
  const chunks: Uint8Array[] = [];
  let result: CoreResult | undefined;
  const ended = (how: CoreResult): void => {
    result = how;
  };
  for await (const chunk of coreContent(pid, opened, 62, ended)) chunks.push(chunk);
  return { bytes: Buffer.concat(chunks), result };
}

test('a process that ends while it is read leaves a shorter core and a gap', async (t) => {
  const { child, pid } = await python(
    t,
    'import time\nb = bytearray(b"x" * (32 << 20))\nprint("ready", flush=True)\ntime.sleep(100)',
  );
  const opened = await openPid(t, pid);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const { result, bytes } = await coreOf(pid, opened);
  assert.ok(bytes.length > 0 && bytes.length < 32 << 20);
  assert.equal(result?.gaps[0]?.reason, 'vanished');
  assert.match(result?.truncated ?? '', /bytes left$/);
});

test('pages that go between listing and reading become zeros with their addresses', async (t) => {
  const { child, pid } = await python(
    t,
    `
import ctypes, mmap, sys, time
m = mmap.mmap(-1, 8 * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.write(b"there" * 6553)
address = ctypes.addressof(ctypes.c_char.from_buffer(m))
print("ready", address, flush=True)
sys.stdin.readline()
ctypes.CDLL(None).munmap(ctypes.c_void_p(address + 4096), ctypes.c_size_t(8192))
print("gone", flush=True)
time.sleep(100)
`,
  );
  const opened = await openPid(t, pid);
  child.stdin?.write('go\n');
  if (child.stdout !== null) await once(child.stdout, 'data');
  const { result, bytes } = await coreOf(pid, opened);
  assert.deepEqual(
    result?.unreadable.ranges.map((range) => [range.bytes, range.why]),
    [[8192, 'refused']],
  );
  assert.equal(result?.gaps[0]?.reason, 'failed');
  assert.equal(result?.truncated, undefined);
  assert.ok(bytes.includes('there'.repeat(100)));
});

test('a suspect that has ended, a PID that is another process by now, and nobody at all are gaps', async (t) => {
  const nobody = await collect(memory, { profile: 'standard' });
  assert.deepEqual([...nobody.artefacts.keys()], []);
  assert.equal(nobody.gaps[0]?.reason, 'absent');
  const { pid } = await python(t, 'import time\nprint("ready", flush=True)\ntime.sleep(100)');
  const other = await openMemory({ proc: '/proc', pid, startTicks: '1', bytes: 1, threads: 1 });
  assert.ok('gap' in other);
  assert.equal(other.gap.reason, 'vanished');
});

test('a limit of bytes keeps private memory first and says how much was left', async (t) => {
  const { pid } = await python(
    t,
    'import time\nb = bytearray(b"kept" * (1 << 20))\nprint("ready", flush=True)\ntime.sleep(100)',
  );
  const limits = { ...memory.limits, bytes: 12 << 20 };
  const collected = await collect(memory, { profile: 'standard', suspects: [{ kind: 'pid', pid }], limits });
  const { core, bytes } = rowOf(collected, pid).impound;
  assert.ok((bytes.stored ?? 0) <= 12 << 20);
  assert.ok((bytes.limit ?? 0) > 0);
  assert.ok((collected.artefacts.get(core) ?? Buffer.alloc(0)).includes('kept'.repeat(1000)));
  assert.match(collected.gaps[0]?.name ?? '', /bytes left$/);
  assert.equal(collected.gaps[0]?.reason, 'truncated');
});

test('memory that never answers becomes zeros and a gap', { timeout: 60_000 }, async (t) => {
  const folder = await mkdtemp('/tmp/impound-test-');
  const stop: (() => unknown)[] = [() => rm(folder, { recursive: true, force: true })];
  t.after(async () => {
    for (const step of stop.toReversed()) await step();
  });
  const [files, mounted, proc] = [join(folder, 'files'), join(folder, 'mounted'), join(folder, 'proc')];
  for (const at of [files, mounted, join(proc, '11')]) await mkdir(at, { recursive: true });
  await writeFile(join(files, 'stuck'), Buffer.alloc(4096, 's'));
  const [program = '', ...args] = stuckCommand(mounted, files, 'stuck');
  const server = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const unmount = (point: string): Promise<unknown> => execute('umount', ['-l', point]).catch(() => undefined);
  stop.push(
    () => unmount(mounted),
    () => unmount(join(proc, '11', 'mem')),
    () => server.kill('SIGKILL'),
  );
  await once(server.stdout, 'data');
  // a mapping of such a file, of which no page is there; what stands for its pagemap says that one is
  const { pid } = await python(
    t,
    'import mmap, os, sys, time\nfd = os.open(sys.argv[1], os.O_RDONLY)\nm = mmap.mmap(fd, 4096, prot=mmap.PROT_READ)\nprint("ready", flush=True)\ntime.sleep(100)',
    [join(mounted, 'stuck')],
  );
  const at = (name: string): string => join(proc, '11', name);
  for (const name of ['stat', 'status', 'cmdline', 'auxv'])
    await writeFile(at(name), await readFile(`/proc/${pid}/${name}`));
  const smaps = await readFile(`/proc/${pid}/smaps`, 'latin1');
  const [, start = '0'] = /^([0-9a-f]+)-[0-9a-f]+ r--s .*stuck$/m.exec(smaps) ?? [];
  const address = BigInt(`0x${start}`);
  await writeFile(at('smaps'), `${start}-${(address + 4096n).toString(16)} r--s 00000000 00:00 2 stuck\nRss:   4 kB\n`);
  const pagemap = await open(at('pagemap'), 'w');
  const there = Buffer.alloc(8);
  there.writeBigUInt64LE(1n << 63n);
  await pagemap.write(there, 0, 8, Number(address / 4096n) * 8);
  await pagemap.close();
  await writeFile(at('mem'), '');
  await execute('mount', ['--bind', `/proc/${pid}/mem`, at('mem')]);

  const [summary] = await startWalk(hostAt('/'), { raw: false, signal: t.signal, pids: [pid] }).index();
  const source = { proc, pid: 11, startTicks: summary?.startTicks ?? '', bytes: 1 << 20, threads: 4 };
  const opened = await openMemory(source);
  assert.ok(!('gap' in opened), JSON.stringify(opened));
  const { result, bytes } = await coreOf(11, opened);
  assert.deepEqual(bytes.subarray(-4096), Buffer.alloc(4096));
  assert.deepEqual(result?.unreadable.ranges, [{ start: address, bytes: 4096, why: 'stuck' }]);
  assert.equal(result?.gaps[0]?.reason, 'timeout');
  assert.equal(opened.leftBehind, 1);

  const last = await openMemory({ ...source, threads: 1 });
  assert.ok(!('gap' in last), JSON.stringify(last));
  const cut = (await coreOf(11, last)).result;
  assert.match(cut?.truncated ?? '', /did not come back, again and again: 4096 bytes left$/);
  assert.equal(last.leftBehind, 1);
});
