import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { binaries } from '../../../agent/collectors/binaries.ts';
import { collect } from '../../helpers/collect.ts';
import { python } from '../../helpers/programs.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

interface Row {
  readonly file: { readonly path: string; readonly hash: { readonly sha256: string } };
  readonly impound: {
    readonly why: string;
    readonly executable: boolean;
    readonly pids: readonly number[];
    readonly member: string;
  };
}

async function recovered(): Promise<readonly Row[]> {
  const { artefacts } = await collect(binaries);
  const lines = (artefacts.get('10-process/binaries.jsonl')?.toString() ?? '').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Row);
}

async function digest(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}

/** A copy of sleep(1) with a tail of its own, so that no other program has its digest. */
async function ownProgram(t: TestContext): Promise<{ readonly path: string; readonly sha256: string }> {
  const path = join(await temporaryFolder(t), 'implant');
  await copyFile('/bin/sleep', path);
  await writeFile(path, Buffer.concat([await readFile(path), Buffer.from(`only here ${Math.random()}`)]));
  await chmod(path, 0o755);
  return { path, sha256: await digest(path) };
}

async function running(t: TestContext, path: string): Promise<number> {
  const child = spawn(path, ['100'], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  return child.pid ?? 0;
}

test('a program that was started and deleted comes back with the digest of the original', async (t) => {
  const program = await ownProgram(t);
  const pids = [await running(t, program.path), await running(t, program.path)];
  await rm(program.path);
  const row = (await recovered()).find(({ file }) => file.path === program.path);
  assert.equal(row?.file.hash.sha256, program.sha256);
  assert.equal(row?.impound.why, 'deleted');
  assert.deepEqual(row?.impound.pids, pids);
});

test('a program that was never a file comes back', async (t) => {
  const program = await ownProgram(t);
  const { pid } = await python(
    t,
    `
import os, sys
fd = os.memfd_create('implant')
os.write(fd, open(sys.argv[1], 'rb').read())
print('ready', flush=True)
os.execve('/proc/self/fd/%d' % fd, ['implant', '100'], {})
`,
    [program.path],
  );
  let row: Row | undefined;
  for (let tries = 0; tries < 20 && row === undefined; tries++) {
    row = (await recovered()).find(({ file }) => file.hash.sha256 === program.sha256);
  }
  assert.equal(row?.impound.why, 'memfd');
  assert.ok(row?.impound.pids.includes(pid));
});

test('a program in a temporary folder comes back, and a deleted file that is only open', async (t) => {
  const program = await ownProgram(t);
  await running(t, program.path);
  const log = join(await temporaryFolder(t), 'attacker.log');
  await python(
    t,
    'import os, sys\nfile = open(sys.argv[1], "w+b", buffering=0)\nfile.write(b"what was done")\nos.unlink(sys.argv[1])\nprint("ready", flush=True)\nsys.stdin.read()',
    [log],
  );
  const rows = await recovered();
  assert.equal(rows.find(({ file }) => file.hash.sha256 === program.sha256)?.impound.why, 'temporary');
  const open = rows.find(({ file }) => file.path === log);
  assert.equal(open?.file.hash.sha256, createHash('sha256').update('what was done').digest('hex'));
  assert.equal(open?.impound.executable, false);
});

test('what is open and no file, such as a FIFO or a socket, is left alone', { timeout: 30_000 }, async (t) => {
  await python(
    t,
    'import os, socket, sys, tempfile\nd = tempfile.mkdtemp()\nos.mkfifo(d + "/f")\nfd = os.open(d + "/f", os.O_RDWR)\nos.unlink(d + "/f")\nos.rmdir(d)\ns = socket.socket()\nprint("ready", flush=True)\nsys.stdin.read()',
  );
  await recovered();
});
