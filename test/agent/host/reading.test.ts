// Reading a hostile host: no link followed, nothing blocked on, every read bounded.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, statSync } from 'node:fs';
import { mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gapOf } from '../../../agent/host/errno.ts';
import { openBelow, openMagicLink } from '../../../agent/host/open.ts';
import { kernelReader, readBelow, streamFile } from '../../../agent/host/read.ts';
import { cli, lastLine } from '../../helpers/cli.ts';
import { stuckFileSystem } from '../../helpers/fuse.ts';
import { needsRoot } from '../../helpers/small-disk.ts';
import { mountFolder, temporaryFolder } from '../../helpers/temporary.ts';

test('a file is read below its root, up to its bound, and says how much was left', async (t) => {
  const root = await temporaryFolder(t);
  await mkdir(join(root, 'etc'));
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0');
  assert.equal(readBelow(root, '/etc/passwd', 100).bytes.toString(), 'root:x:0:0');
  const cut = readBelow(root, '/etc/passwd', 4);
  assert.deepEqual([cut.bytes.toString(), cut.left], ['root', 6]);
});

test('no link on the way is followed, nor ".." taken, nor a FIFO or a folder opened', {
  timeout: 10_000,
}, async (t) => {
  const root = await temporaryFolder(t);
  await mkdir(join(root, 'real'));
  await writeFile(join(root, 'real/file'), 'x');
  await symlink('real', join(root, 'link'));
  await symlink('/etc/passwd', join(root, 'real/outside'));
  execFileSync('mkfifo', [join(root, 'real/fifo')]);
  for (const path of ['link/file', 'real/outside', '../etc/passwd', 'real/../real/file', 'real/fifo', 'real']) {
    assert.throws(() => openBelow(root, path), path);
  }
  assert.throws(() => openMagicLink('/proc/self', 'fd/99999'));
});

test('reading does not change the access time', { skip: needsRoot }, async (t) => {
  const root = await temporaryFolder(t);
  const file = join(root, 'file');
  await writeFile(file, 'x');
  await utimes(file, new Date(1_000_000_000_000), new Date(2_000_000_000_000));
  readBelow(root, 'file', 10);
  assert.equal(statSync(file).atimeMs, 1_000_000_000_000);
});

test('a file of the kernel that has no size is read to its end, or to its bound', () => {
  const reader = kernelReader();
  assert.match(reader.read('/proc/self/status', 65_536).bytes.toString(), /^Name:/);
  const cut = reader.read('/proc/self/status', 10);
  assert.equal(cut.bytes.length, 10);
  assert.ok(cut.left > 100);
});

test('a large file is streamed and its descriptor closed, also when the reader stops early', async (t) => {
  const root = await temporaryFolder(t);
  await writeFile(join(root, 'large'), Buffer.alloc(5 * 1024 * 1024, 7));
  let size = 0;
  for await (const chunk of streamFile(openBelow(root, 'large'))) size += chunk.length;
  assert.equal(size, 5 * 1024 * 1024);
  const stopped = openBelow(root, 'large');
  for await (const _ of streamFile(stopped)) break;
  assert.throws(() => closeSync(stopped.fd), { code: 'EBADF' });
});

test('what a failed call means for the evidence', () => {
  const failure = (code: string): Error => Object.assign(new Error(code), { code });
  assert.deepEqual(
    ['EACCES', 'ENOENT', 'ESRCH', 'ELOOP', 'EIO'].map((code) => gapOf(failure(code), 'x').reason),
    ['denied', 'vanished', 'vanished', 'skipped', 'failed'],
  );
});

test('a process whose memory never answers costs its file, not the capture', {
  skip: needsRoot,
  timeout: 60_000,
}, async (t) => {
  const folder = await mountFolder(t);
  const [proc, files] = [join(folder, 'root/proc'), join(folder, 'files')];
  for (const pid of ['10', '11', '12', 'self']) await mkdir(join(proc, pid), { recursive: true });
  await mkdir(files);
  for (const pid of ['10', '11', '12']) {
    const at = pid === '11' ? files : join(proc, pid);
    await writeFile(join(at, 'stat'), `${pid} (name) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0`);
    await writeFile(join(at, 'cmdline'), 'program\0');
  }
  await stuckFileSystem(t, join(proc, '11'), files, 'cmdline');
  const words = [
    'capture',
    '--local',
    '--root',
    join(folder, 'root'),
    '--store',
    join(folder, 'store'),
    '--collector',
    'processes',
  ];
  const captured = await cli(words, { home: folder });
  assert.equal(captured.code, 0, captured.stderr);
  const table = await cli(['cat', lastLine(captured), '10-process/processes.jsonl'], { home: folder });
  const pids = table.stdout
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { process: { pid: number } }).process.pid);
  assert.deepEqual(pids.sort(), [10, 11, 12]);
  const gaps = await cli(['cat', lastLine(captured), '00-meta/gaps.jsonl'], { home: folder });
  assert.match(gaps.stdout, /"reason":"timeout".*"pid 11 cmdline"/);
});
