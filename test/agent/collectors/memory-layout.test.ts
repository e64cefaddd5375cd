import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openMemory } from '../../../agent/collectors/memory/reader.ts';
import { IS_LEFT, IS_STORED, SEGMENT_FIELDS, STORED } from '../../../agent/collectors/memory/shared.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { startWalk } from '../../../agent/host/walk.ts';
import { python } from '../../helpers/programs.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

async function opened(t: TestContext, pid: number, bytes = Number.MAX_SAFE_INTEGER) {
  const [summary] = await startWalk(hostAt('/'), { raw: false, signal: t.signal, pids: [pid] }).index();
  const memory = await openMemory({ proc: '/proc', pid, startTicks: summary?.startTicks ?? '', bytes, threads: 1 });
  if (!('gap' in memory)) memory.end();
  return memory;
}

test('a mapping that is touched here and there is cut, and costs nothing of what is beside it', async (t) => {
  const touched = 150_000;
  const { pid } = await python(
    t,
    `
import mmap, time
m = mmap.mmap(-1, 18 * 4096 * ${touched}, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.madvise(mmap.MADV_NOHUGEPAGE)
for page in range(0, 18 * ${touched}, 18):
    m[page * 4096] = 1
print("ready", flush=True)
time.sleep(100)
`,
  );
  const memory = await opened(t, pid);
  assert.ok(!('gap' in memory), JSON.stringify(memory));
  const { gaps, counts, segments } = memory.layout;
  const left = (touched - 131_072 / 2) * 4096;
  assert.equal(counts.left, left);
  assert.deepEqual(gaps, [
    {
      reason: 'truncated',
      name: `pid ${pid} memory: ${left} bytes left`,
      detail: 'a mapping of it lies in more than 131072 pieces',
    },
  ]);
  assert.ok(segments.length / SEGMENT_FIELDS < 133_000);
  const last = segments.length - SEGMENT_FIELDS; // its stack, vdso and so on lie behind the mapping
  assert.ok(
    segments
      .subarray(last - 10 * SEGMENT_FIELDS)
      .some((value, at) => at % SEGMENT_FIELDS === STORED && value === IS_STORED),
  );
  for (let at = SEGMENT_FIELDS; at < segments.length; at += SEGMENT_FIELDS) {
    if ((segments[at + 1] ?? 0) <= (segments[at + 1 - SEGMENT_FIELDS] ?? 0)) assert.fail(`not ascending at ${at}`);
  }
});

test('a limit of bytes meets the giant mapping, not what is beside it', async (t) => {
  const { pid } = await python(
    t,
    `
import mmap, time
m = mmap.mmap(-1, 128 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.write(b"x" * len(m))
print("ready", flush=True)
time.sleep(100)
`,
  );
  const memory = await opened(t, pid, 48 << 20);
  assert.ok(!('gap' in memory), JSON.stringify(memory));
  assert.ok(memory.layout.counts.stored <= 48 << 20);
  const { segments, regions } = memory.layout;
  for (let at = 0; at < segments.length; at += SEGMENT_FIELDS) {
    const region = regions[segments[at] ?? 0];
    if (region?.inode !== '0' || region.resident === 0 || region.resident >= 128 << 20) continue;
    assert.notEqual(segments[at + STORED], IS_LEFT, `${region.start.toString(16)} ${region.path}`);
  }
});

test('pages of a memfd that are not in the page table are counted for themselves', async (t) => {
  const { pid } = await python(
    t,
    `
import mmap, os, time
fd = os.memfd_create("hidden")
os.write(fd, b"h" * 32768)
m = mmap.mmap(fd, 32768)
print("ready", flush=True)
time.sleep(100)
`,
  );
  const memory = await opened(t, pid);
  assert.ok(!('gap' in memory), JSON.stringify(memory));
  assert.equal(memory.layout.counts.untouchedDeleted, 32_768);
  assert.ok(memory.layout.counts.untouched > 32_768);
});

test('a process that executes another program while it is listed is a gap that says so', {
  timeout: 60_000,
}, async (t) => {
  const script = join(await temporaryFolder(t), 'again');
  await writeFile(script, 'exec sh "$0"\n');
  const child = spawn('sh', [script], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  for (let tries = 0; tries < 200; tries++) {
    const memory = await opened(t, child.pid ?? 0);
    const gaps = 'gap' in memory ? [memory.gap] : memory.layout.gaps;
    const found = gaps.find(({ detail }) => detail?.includes('executed another program') === true);
    if (found === undefined) continue;
    assert.equal(found.reason, 'vanished');
    return;
  }
  assert.fail('200 times nothing was noticed');
});
