// impound bundles: what a store holds, by its chains alone.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { makeBundle } from '../helpers/bundle.ts';
import { lastLine } from '../helpers/cli.ts';
import { needs } from '../helpers/component.ts';
import { fileS3Bed } from '../helpers/s3-cli.ts';
import { startProxy } from '../testbed/fault-proxy.ts';
import { S3_COMPONENTS } from '../testbed/s3.ts';

const bed = await fileS3Bed();
const small = ['capture', '--local', '--collector', 'host', '--encryption', 'none', '--docker', '/nonexistent'];

test('bundles of two cases, one that a kill left, and what is no bundle; no evidence is read for it', async (t) => {
  if (!needs(t, ...S3_COMPONENTS) || bed === undefined) return;
  const { name, url } = await bed.bucket({ versioning: true });
  const sealed: string[] = [];
  for (const more of [['--case', 'IR-7'], ['--case', 'IR-8'], []])
    sealed.push(lastLine(await bed.run([...small, '--store', url, ...more])));
  const killed = bed.start(['capture', '--local', '--store', url, '--encryption', 'none', '--case', 'IR-9']);
  killed.stderr?.resume();
  const folder = join(bed.s3.root, name, 'ir/local/IR-9');
  const begun = async () =>
    (await readdir(folder, { recursive: true }).catch(() => [] as string[])).some((path) =>
      path.endsWith('000002.dsse.json'),
    );
  for (let tries = 0; tries < 400 && !(await begun()); tries++) await sleep(25);
  killed.kill('SIGKILL');
  if (killed.exitCode === null && killed.signalCode === null) await once(killed, 'exit');
  for (const Key of ['ir/notes.txt', 'ir/local/IR-7/readme', 'ir/a/b/c/d/e', 'other/local/x/y/bagit.txt'])
    await bed.s3.client.send(new PutObjectCommand({ Bucket: name, Key, Body: 'none of a bundle' }));

  const proxy = await startProxy(t, bed.s3.endpoint);
  const ran = await bed.run(['bundles', url, '--json'], { endpoint: proxy.endpoint });
  assert.equal(ran.code, 0, ran.stderr);
  const rows = ran.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    rows.map((row) => [row.case, row.state]),
    [
      ['IR-7', 'sealed'],
      ['IR-8', 'sealed'],
      [null, 'sealed'],
      ['IR-9', 'unsealed'],
    ],
  );
  assert.deepEqual(
    rows.slice(0, 3).map(({ path }) => path),
    sealed,
  );
  const reads = proxy.seen.filter(({ method, target }) => method === 'GET' && target.includes('/data/'));
  assert.ok(reads.length === 4 && reads.every(({ target }) => target.includes('00-meta/request.json')));
  const entries = proxy.seen.filter(({ method, target }) => method === 'GET' && target.includes('dsse.json'));
  assert.ok(entries.length <= 6, `${entries.length} entries`);

  const printed = await bed.run(['bundles', url]);
  assert.match(printed.stdout, /^TIME +CASE +NODE +STATE +SIZE +BUNDLE$/m);
  for (const path of sealed) assert.ok(printed.stdout.includes(path), path);
  assert.match(printed.stdout, /IR-9 .*unsealed/);
  assert.match(printed.stdout, /^listed from their chains, not verified$/m);
  const next = await bed.run(['verify', sealed[0] ?? '', '--key', bed.key, '--strict']);
  assert.equal(next.code, 0, 'as it was listed');
});

test('bundles of a directory, an empty store, and one that is not there', async (t) => {
  if (!needs(t, ...S3_COMPONENTS) || bed === undefined) return;
  const store = await bed.folder();
  const made = await makeBundle(store);
  await makeBundle(store, [], { seal: false });
  await writeFile(join(store, 'notes.txt'), 'none of a bundle');
  const ran = await bed.run(['bundles', store, '--json']);
  const rows = ran.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    rows.map(({ state, node }) => [state, node]),
    [
      ['sealed', 'here'],
      ['unsealed', 'here'],
    ],
  );
  assert.equal(rows[0].path, made.path);
  const { url } = await bed.bucket();
  const empty = await bed.run(['bundles', url]);
  assert.deepEqual([empty.code, empty.stdout], [0, `${url} has no bundles\n`], empty.stderr);
  const gone = await bed.run(['bundles', 's3://no-such-bucket']);
  assert.equal(gone.code, 2);
  assert.match(gone.stderr, /\[store-missing\]$/m);
});
