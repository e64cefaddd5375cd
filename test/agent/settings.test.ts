// Where an agent looks for container runtimes, as its arguments name them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAgentConfig } from '../../agent/config.ts';
import { hostAt } from '../../agent/host/host.ts';
import { agentSettings } from '../../agent/settings.ts';

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
