// Where an agent looks for container runtimes: as its arguments name them, and whether somebody is there.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAgentConfig } from '../../agent/config.ts';
import { hostAt } from '../../agent/host/host.ts';
import { listening } from '../../agent/remote/runtimes.ts';
import { agentSettings } from '../../agent/settings.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';

const folder = await fileTemporaryFolder();
const NEEDED = ['--controller', 'https://impound', '--ca', 'ca', '--token', 'token'];
const settings = (root: string, ...words: readonly string[]) =>
  agentSettings(readAgentConfig([...NEEDED, '--root', root, ...words]), hostAt(root));

test('a socket is named by its path on the node, or by the one that the agent sees', () => {
  for (const path of ['/run/x.sock', '/host/run/x.sock', 'unix:///run/x.sock']) {
    const { containerdSockets, criSockets, dockerSockets } = settings('/host', '--containerd', path);
    assert.deepEqual([containerdSockets, criSockets], [['/host/run/x.sock'], ['/host/run/x.sock']], path);
    assert.deepEqual(dockerSockets, ['/host/var/run/docker.sock', '/host/run/docker.sock']);
  }
  assert.deepEqual(settings('/', '--docker', '/run/x.sock').dockerSockets, ['/run/x.sock']);
  assert.match(settings('/host').namedBy('cri'), /install --agent-arg=--cri=SOCKET/);
});

test('of its sockets those are told at which somebody listens', async (t) => {
  const here = join(folder, 'here.sock');
  const server = createServer((socket) => socket.on('error', () => undefined));
  await new Promise<void>((resolve) => server.listen(here, resolve));
  t.after(() => server.close());
  const plain = join(folder, 'plain');
  await writeFile(plain, '');
  const sockets = { containerdSockets: [plain, here], criSockets: [here], dockerSockets: [join(folder, 'none.sock')] };
  assert.deepEqual(await listening(sockets), [here]);
});
