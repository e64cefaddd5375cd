// impound timestamp adds what a bundle lacks, and verify --tsa-ca says what the authority saw.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { defaultKeyFile } from '../../cli/key.ts';
import { generateKeyFiles } from '../../evidence/index.ts';
import { type MadeBundle, makeBundle } from '../helpers/bundle.ts';
import { cli } from '../helpers/cli.ts';
import { needs } from '../helpers/component.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { fileAuthority } from '../testbed/timestamp-authority.ts';

const execute = promisify(execFile);
const authority = await fileAuthority();

test('grant and seal get tokens, once, and verify names them where the authority is trusted', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const { home, made } = await ownBundle(t);
  const words = ['timestamp', made.path, '--tsa', authority.url('failing'), '--tsa', authority.url('normal')];
  const added = await cli(words, { home });
  assert.equal(added.code, 0, added.stderr);
  const tokens = [0, made.head.sequence].map((sequence) => `custody/${String(sequence).padStart(6, '0')}.tsr`);
  for (const token of tokens) assert.match(added.stdout, new RegExp(`^added {3}${token} .*normal$`, 'm'));
  assert.match(added.stdout, new RegExp(`^head {4}${made.head.sequence + 1}:[0-9a-f]{64}$`, 'm'));
  assert.deepEqual(await readdir(made.storeRoot), ['local']);

  const again = await cli([...words, '--json'], { home });
  assert.equal(again.code, 0);
  assert.deepEqual(JSON.parse(again.stdout).added, []);

  const key = `${defaultKeyFile({ XDG_CONFIG_HOME: home })}.pub`;
  const trusted = ['verify', made.path, '--key', key, '--strict', '--tsa-ca', authority.file('root.pem')];
  const verified = await cli([...trusted, '--json'], { home });
  assert.equal(verified.code, 0, verified.stdout);
  const { timestamps, warnings, verdict } = JSON.parse(verified.stdout);
  assert.deepEqual([verdict, warnings], ['intact', []]);
  assert.deepEqual(
    timestamps.map(({ entry }: { entry: number }) => entry),
    [0, made.head.sequence],
  );
  assert.match((await cli(trusted, { home })).stdout, /^stamped +entry 0 +at \d{4}-.*Z by .*CN=signer$/m);
  const { stdout } = await execute('openssl', [
    ...['ts', '-verify', '-data', join(made.path, 'custody/000000.dsse.json'), '-in', join(made.path, tokens[0] ?? '')],
    ...['-CAfile', authority.file('root.pem')],
  ]);
  assert.match(stdout, /Verification: OK/);
});

test('where no authority answers nothing is added and the exit status is 2', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const { home, made } = await ownBundle(t);
  const refused = await cli(['timestamp', made.path, '--tsa', authority.url('refusing')], { home });
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /entry 0 got no time stamp: .*refusing: it refused: rejected.*\[tsa-unavailable\]/);
  assert.equal((await readdir(join(made.path, 'custody'))).length, made.head.sequence + 2);
});

test('an authority is named by a plain URL, and its certificates by a file that has some', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const { home, made } = await ownBundle(t);
  for (const url of ['tsa.example', 'ftp://tsa.example/', 'https://user:password@tsa.example/']) {
    assert.equal((await cli(['timestamp', made.path, '--tsa', url], { home })).code, 64, url);
  }
  assert.equal((await cli(['timestamp', made.path], { home })).code, 64);
  const empty = join(home, 'empty.pem');
  await writeFile(empty, 'nothing');
  const unsuitable = await cli(['verify', made.path, '--tsa-ca', empty], { home });
  assert.deepEqual([unsuitable.code, /\[certificate-unsuitable\]/.test(unsuitable.stderr)], [2, true]);
  const unreadable = await cli(['verify', made.path, '--tsa-ca', join(home, 'none.pem')], { home });
  assert.deepEqual([unreadable.code, /\[certificate-unreadable\]/.test(unreadable.stderr)], [2, true]);
});

/** A sealed bundle by the key that the command line takes where none is named. */
async function ownBundle(t: TestContext): Promise<{ readonly home: string; readonly made: MadeBundle }> {
  const home = await temporaryFolder(t);
  const signer = await generateKeyFiles(defaultKeyFile({ XDG_CONFIG_HOME: home }));
  return { home, made: await makeBundle(join(home, 'store'), undefined, { signer }) };
}
