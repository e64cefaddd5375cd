// Folders that go with their test, or with their test file, and with what is mounted in them.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, type TestContext } from 'node:test';

export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'impound-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A folder with these files: content by path. */
export async function folderWith(t: TestContext, files: Readonly<Record<string, string | Buffer>>): Promise<string> {
  const folder = await temporaryFolder(t);
  await fill(folder, files);
  return folder;
}

/** Content by path below `folder`. */
export async function fill(folder: string, files: Readonly<Record<string, string | Buffer>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}

/** A folder that goes with its test file. */
export async function fileTemporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'impound-test-'));
  after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A folder to mount things on and in: they go before it does, whatever became of the test. Needs root. */
export async function mountFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'impound-test-'));
  t.after(async () => {
    const points = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '');
    for (const point of points.filter((one) => one === folder || one.startsWith(`${folder}/`)).reverse())
      execFileSync('umount', ['-l', point]);
    await rm(folder, { recursive: true, force: true });
  });
  return folder;
}

export interface SocketFolder {
  readonly folder: string;
  /** A path that nothing has yet, short enough for a socket: at most 107 bytes (unix(7)). */
  next(): string;
}

/** A folder for sockets that goes with its test file. */
export async function fileSocketFolder(): Promise<SocketFolder> {
  const folder = await mkdtemp('/tmp/imp-');
  after(() => rm(folder, { recursive: true, force: true }));
  let number = 0;
  return { folder, next: () => join(folder, `s${number++}`) };
}
