// A folder of 1.1 GB to be archived: half text-like, half random, as layers and logs are between them.
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Member } from '../evidence/index.ts';

const FILES = 64;
const FILE_BYTES = 16 * 1024 * 1024;

export async function makeTree(tree: string): Promise<void> {
  await mkdir(tree, { recursive: true });
  const words = Buffer.from(Array.from({ length: 20_000 }, () => randomBytes(4).toString('hex')).join(' '));
  for (let number = 0; number < FILES; number++) {
    const handle = await open(join(tree, `file${number}`), 'w');
    for (let written = 0; written < FILE_BYTES; ) {
      const chunk = number % 2 === 0 ? words : randomBytes(words.length);
      await handle.write(chunk);
      written += chunk.length;
    }
    await handle.close();
  }
}

export async function* members(tree: string): AsyncGenerator<Member> {
  for (const name of await readdir(tree)) {
    const file = join(tree, name);
    const { size } = await stat(file);
    yield { name, content: { size, bytes: createReadStream(file, { highWaterMark: 1024 * 1024 }) } };
  }
}
