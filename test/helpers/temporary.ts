// A folder that goes with its test.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'impound-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
