// Which of a node's runtimes an agent finds somebody at.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { listening } from '../../../agent/remote/runtimes.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

test('of its sockets those are told at which somebody listens', async (t) => {
  const folder = await temporaryFolder(t);
  const here = join(folder, 'here.sock');
  const server = createServer((socket) => socket.on('error', () => undefined));
  await new Promise<void>((resolve) => server.listen(here, resolve));
  t.after(() => server.close());
  const plain = join(folder, 'plain');
  await writeFile(plain, '');
  const sockets = { containerdSockets: [plain, here], criSockets: [here], dockerSockets: [join(folder, 'none.sock')] };
  assert.deepEqual(await listening(sockets), [here]);
});
