// A disk that fills up: a tmpfs of a few megabytes, gone with its test. Needs root.
import { execFileSync } from 'node:child_process';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export const needsRoot = process.getuid?.() === 0 ? false : 'needs root';

export async function smallDisk(t: TestContext, megabytes: number): Promise<string> {
  const disk = await mkdtemp(join(tmpdir(), 'impound-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', disk]);
  t.after(async () => {
    execFileSync('umount', ['-l', disk]);
    await rmdir(disk);
  });
  return disk;
}
