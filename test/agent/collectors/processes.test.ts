import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { processes } from '../../../agent/collectors/processes.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { contentsOf } from '../../helpers/archive.ts';
import { collect } from '../../helpers/collect.ts';
import { python } from '../../helpers/programs.ts';
import { needsRoot } from '../../helpers/small-disk.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

interface Row {
  readonly process: {
    readonly pid: number;
    readonly args?: readonly string[];
    readonly name: string;
    readonly [more: string]: unknown;
  };
  readonly impound: Record<string, unknown>;
  readonly container?: { readonly id: string };
}

function rowsOf(bytes: Buffer | undefined): readonly Row[] {
  return (bytes?.toString() ?? '')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Row);
}

/** Executes itself with an argument and a variable that are no text, then waits. */
const STRANGE = `
import os, sys
argument = b'first\\nsecond \\xff\\xfe ' + b'x' * 100000
if len(sys.argv) < 2:
    os.execve('/proc/self/exe', [b'python3', b'-c', open('/proc/self/cmdline','rb').read().split(b'\\0')[2], argument], {b'STRANGE': b'\\xc3\\x28\\n' + b'y' * 100000, b'PATH': b'/usr/bin:/bin'})
print('ready', flush=True)
sys.stdin.read()
`;

test('arguments and environment of 100,000 characters, with newlines and bytes that are no UTF-8, survive byte for byte', async (t) => {
  const { pid } = await python(t, STRANGE);
  const { artefacts } = await collect(processes);
  const members = await contentsOf(artefacts.get('10-process/proc.tar.zst'));
  assert.deepEqual(members.get(`${pid}/cmdline`), await readFile(`/proc/${pid}/cmdline`));
  assert.deepEqual(members.get(`${pid}/environ`), await readFile(`/proc/${pid}/environ`));
  const row = rowsOf(artefacts.get('10-process/processes.jsonl')).find(({ process }) => process.pid === pid);
  assert.ok((row?.process.args?.[3]?.length ?? 0) > 100_000);
  assert.deepEqual(Buffer.from(String(row?.process.args_base64), 'base64'), await readFile(`/proc/${pid}/cmdline`));
  assert.deepEqual(Buffer.from(String(row?.process.env_vars_base64), 'base64'), await readFile(`/proc/${pid}/environ`));
});

test('a row has ids, start, namespaces, descriptors, threads and what the process may do', async (t) => {
  const { pid } = await python(
    t,
    'import sys, threading\nthreading.Thread(target=lambda: sys.stdin.read(), name="second").start()\nprint("ready", flush=True)',
  );
  const { artefacts } = await collect(processes);
  const row = rowsOf(artefacts.get('10-process/processes.jsonl')).find((candidate) => candidate.process.pid === pid);
  assert.ok(row !== undefined);
  const { process: fields, impound } = row;
  assert.equal((fields.parent as { pid: number }).pid, process.pid);
  assert.deepEqual(fields.user, { id: String(process.getuid?.()) });
  assert.equal(fields.working_directory, process.cwd());
  assert.ok(Math.abs(Date.parse(String(fields.start)) - Date.now()) < 60_000, String(fields.start));
  assert.equal((fields.thread as { count: number }).count, 2);
  assert.equal((impound.threads as unknown[]).length, 2);
  const descriptors = impound.descriptors as { fd: number; target: string }[];
  assert.match(descriptors.find(({ fd }) => fd === 0)?.target ?? '', /^(socket|pipe):\[\d+\]$/);
  assert.ok(Number((impound.namespaces as Record<string, { inode: number }>).net?.inode) > 0);
  assert.match(String((impound.capabilities as Record<string, string>).CapEff), /^[0-9a-f]{16}$/);
  const own = rowsOf(artefacts.get('10-process/processes.jsonl')).find(
    (candidate) => candidate.process.pid === process.pid,
  );
  assert.equal(own?.impound.footprint, true);
});

test('every distinct executable has its SHA-256 once, with all who run it', async (t) => {
  const sleepers = [spawn('sleep', ['100']), spawn('sleep', ['101'])];
  t.after(() => {
    for (const sleeper of sleepers) sleeper.kill('SIGKILL');
  });
  await Promise.all(sleepers.map((sleeper) => once(sleeper, 'spawn')));
  const { artefacts } = await collect(processes);
  const rows = (artefacts.get('10-process/executables.jsonl')?.toString() ?? '').trim().split('\n');
  const files = rows.map(
    (line) => JSON.parse(line) as { file: { path: string; hash: { sha256: string } }; impound: { pids: number[] } },
  );
  const sleep = files.filter(({ file }) => file.path.endsWith('/sleep'));
  assert.equal(sleep.length, 1);
  assert.equal(
    sleep[0]?.file.hash.sha256,
    createHash('sha256')
      .update(await readFile(sleep[0]?.file.path ?? ''))
      .digest('hex'),
  );
  for (const { pid } of sleepers) assert.ok(sleep[0]?.impound.pids.includes(pid ?? 0));
});

test('2,000 processes are all there, and those that end meanwhile are gaps', { timeout: 120_000 }, async (t) => {
  const count = 2000;
  const { child } = await python(
    t,
    `
import os, sys, signal
pids = []
for _ in range(${count}):
    pid = os.fork()
    if pid == 0:
        signal.pause()
    pids.append(pid)
print('ready', flush=True)
sys.stdin.read()
for pid in pids: os.kill(pid, 9)
`,
  );
  const fleeting = await python(
    t,
    `
import os, sys, time
print('ready', flush=True)
until = time.time() + 60
while time.time() < until:
    pid = os.fork()
    if pid == 0: os._exit(0)
    os.waitpid(pid, 0)
`,
  );
  const { artefacts, gaps } = await collect(processes);
  const rows = rowsOf(artefacts.get('10-process/processes.jsonl'));
  const forked = rows.filter(({ process }) => (process.parent as { pid?: number }).pid === child.pid);
  assert.equal(forked.length, count);
  assert.ok(rows.some(({ process }) => process.pid === fleeting.pid));
  for (const { reason, detail } of gaps) assert.notEqual(reason, 'failed', detail);
  child.stdin?.end();
  await once(child, 'exit');
});

test('processes that a listing leaves out are found through their cgroup and by their number', async (t) => {
  const folder = await temporaryFolder(t);
  const proc = join(folder, 'proc');
  const listed = { pid: 10, tgid: 10 };
  for (const { pid, tgid } of [listed, { pid: 11, tgid: 10 }]) {
    await mkdir(join(proc, String(pid)), { recursive: true });
    await writeFile(join(proc, String(pid), 'stat'), `${pid} (name) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0`);
    await writeFile(join(proc, String(pid), 'status'), `Name:\tname\nTgid:\t${tgid}\n`);
  }
  await mkdir(join(proc, 'sys/kernel'), { recursive: true });
  await writeFile(join(proc, 'sys/kernel/pid_max'), '64\n');
  const cgroup = join(folder, 'sys/fs/cgroup/system.slice/x.service');
  await mkdir(cgroup, { recursive: true });
  await writeFile(join(cgroup, 'cgroup.procs'), '10\n0\n42\n');
  const { artefacts } = await collect(processes, { host: hostAt(folder), profile: 'standard' });
  const [summary, ...hidden] = rowsOf(artefacts.get('10-process/hidden.jsonl'));
  const compared = (summary?.impound.compared ?? {}) as { listed: number; probed: number; hidden: number };
  assert.deepEqual([compared.listed, compared.probed, compared.hidden], [2, 64, 1]);
  assert.deepEqual(
    hidden.map(({ process, impound }) => [process.pid, impound.seen]),
    [[42, ['cgroup.procs']]],
  );
});

test('no process of this machine hides', { skip: needsRoot }, async () => {
  const { artefacts } = await collect(processes);
  const [summary] = rowsOf(artefacts.get('10-process/hidden.jsonl'));
  assert.deepEqual((summary?.impound.compared as { hidden: number } | undefined)?.hidden, 0);
});

test('a process whose folder in /proc somebody mounted over is named', { skip: needsRoot }, async (t) => {
  const folder = await temporaryFolder(t);
  const proc = join(folder, 'proc');
  await mkdir(join(proc, '77'), { recursive: true });
  await mkdir(join(proc, '1'));
  await writeFile(
    join(proc, '1/mountinfo'),
    '30 22 0:5 / /proc/77 rw - tmpfs none rw\n31 22 0:6 / /mnt rw - tmpfs none rw\n',
  );
  const { artefacts } = await collect(processes, { host: hostAt(folder) });
  const [, ...hidden] = rowsOf(artefacts.get('10-process/hidden.jsonl'));
  assert.deepEqual(
    hidden.map(({ process, impound }) => [process.pid, impound.seen]),
    [[77, ['a mount over its folder in /proc']]],
  );
});
