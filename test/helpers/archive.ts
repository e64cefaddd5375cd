// What is in a tar archive: unpacked by the system's own tar, or read by ours.
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { readTar } from '../../evidence/stream/tar-reader.ts';
import { temporaryFolder } from './temporary.ts';

/** A folder with the archives' files, as tar(1) makes them of it; goes with its test. */
export async function unpacked(t: TestContext, ...archives: readonly (Uint8Array | undefined)[]): Promise<string> {
  const folder = await temporaryFolder(t);
  const file = join(await temporaryFolder(t), 'archive.tar');
  for (const archive of archives) {
    await writeFile(file, archive ?? '');
    execFileSync('tar', ['-C', folder, '-xf', file]);
  }
  return folder;
}

/** Contents by path. */
export async function contentsOf(tar: Uint8Array | undefined): Promise<ReadonlyMap<string, Buffer>> {
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield tar ?? Buffer.alloc(0);
  }
  const found = new Map<string, Buffer>();
  for await (const member of readTar(whole(), 'the archive')) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of member.content) chunks.push(chunk);
    found.set(member.path, Buffer.concat(chunks));
  }
  return found;
}
