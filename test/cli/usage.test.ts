// Wrong words and bad input: a clear message, a stable code, an exit status, and nothing written.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli } from '../helpers/cli.ts';
import { needsRoot } from '../helpers/small-disk.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const capture = ['capture', '--local', '--collector', 'host', '--docker', '/nonexistent'];

const wrong: readonly (readonly [string, readonly string[], number, string])[] = [
  ['no verb', [], 64, 'usage'],
  ['a verb that is none', ['captrue'], 64, 'usage'],
  ['an option that is none', [...capture, '--colector', 'host'], 64, 'usage'],
  ['a capture of nothing', ['capture'], 64, 'usage'],
  ['an unknown collector', ['capture', '--local', '--collector', 'procceses'], 64, 'unknown-collector'],
  ['everything skipped', ['capture', '--local', '--collector', 'host', '--skip', 'host'], 64, 'usage'],
  ['a case that is no name', [...capture, '--case', '../../etc'], 64, 'usage'],
  ['a suspect that is none', [...capture, '--suspect', 'nginx'], 64, 'usage'],
  ['a root without proc', [...capture, '--root', '/etc'], 64, 'usage'],
  ['a head that is none', ['verify', '.', '--head', '7'], 64, 'usage'],
  ['a key that is not there', [...capture, '--key', 'missing.pem'], 2, 'key-unreadable'],
  ['a key that is no key', [...capture, '--key', 'text.pem'], 2, 'key-unsuitable'],
  ['a key of another kind', [...capture, '--key', 'rsa.pem'], 2, 'key-unsuitable'],
  ['a key that cannot be made', ['keygen', '/proc/none/below/key.pem'], 2, 'key-unwritable'],
  ['a store that is a file', [...capture, '--store', 'text.pem'], 2, 'store-not-directory'],
  ['a bundle that is not there', ['verify', 'nothing'], 2, 'not-a-bundle'],
  ['a bundle that is a file', ['ls', 'text.pem'], 2, 'not-a-bundle'],
  ['a bundle that is a folder of something', ['verify', 'folder'], 2, 'not-a-bundle'],
  ['a folder of something to be sealed', ['seal', 'folder'], 2, 'not-a-bundle'],
  ['an artefact that is not there', ['cat', 'folder', '10-process/none'], 2, 'object-missing'],
  ['an artefact outside', ['cat', 'folder', '../text.pem'], 2, 'object-missing'],
];

test('wrong words and bad input', async (t) => {
  const home = await temporaryFolder(t);
  await writeFile(join(home, 'text.pem'), 'no key at all');
  await mkdir(join(home, 'folder'));
  execFileSync('openssl', ['genrsa', '-out', join(home, 'rsa.pem'), '2048'], { stdio: 'ignore' });
  for (const [what, words, code, name] of wrong) {
    await t.test(what, async () => {
      const ran = await cli(words, { home, cwd: home });
      assert.equal(ran.code, code, ran.stderr);
      assert.match(ran.stderr, new RegExp(`^impound: .+ \\[${name}\\]$`, 'm'));
      assert.equal(ran.stdout, '');
      const json = await cli([...words, '--json'], { home, cwd: home });
      assert.equal((JSON.parse(json.stdout) as { error: { code: string } }).error.code, name);
    });
  }
  await t.test('nothing was written', async () => {
    const left = await readdir(home, { recursive: true });
    assert.deepEqual(
      left.filter((name) => name.startsWith('evidence')),
      [],
    );
  });
});

test('a folder with a bundle in it, as pull makes it, is no bundle: that one is named', async (t) => {
  const home = await temporaryFolder(t);
  await mkdir(join(home, 'drill/01a2/custody'), { recursive: true });
  for (const folder of ['drill', './drill']) {
    const ran = await cli(['verify', folder], { home, cwd: home });
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, /drill is a folder with bundles in it.* name the bundle, drill\/01a2 \[not-a-bundle\]$/m);
  }
});

test('a store that may not be written says so', { skip: needsRoot }, async (t) => {
  const home = await temporaryFolder(t);
  await chmod(home, 0o777);
  await mkdir(join(home, 'closed'), { mode: 0o755 });
  const ran = await cli([...capture, '--store', join(home, 'closed')], { home, uid: 65534 });
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /\[store-denied\]$/m);
});

test('help, completion and the registry print', async (t) => {
  const home = await temporaryFolder(t);
  const help = await cli(['--help'], { home });
  assert.equal(help.code, 0);
  for (const verb of [
    'capture',
    'check',
    'bundles',
    'pull',
    'timestamp',
    'verify',
    'ls',
    'cat',
    'seal',
    'keygen',
    'install',
    'watch',
    'release',
    'collectors',
    'completion',
  ]) {
    assert.match(help.stdout, new RegExp(`impound ${verb}`));
  }
  const completion = await cli(['completion'], { home });
  assert.match(completion.stdout, /complete -/);
  const collectors = await cli(['collectors', '--json'], { home });
  const names = collectors.stdout
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { name: string }).name);
  assert.deepEqual(names, [
    ...['clock', 'processes', 'sockets', 'firewall', 'docker', 'cri', 'binaries', 'kernel', 'host', 'packets', 'flows'],
    ...['memory', 'ram', 'layers', 'tmpfs', 'persistence', 'logs', 'timeline', 'disk'],
  ]);
});
