// A folder that goes with its test.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';

export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'impound-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A folder that goes with its test file. */
export async function fileTemporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'impound-test-'));
  after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
