// Evidence encrypted to age recipients: who reads it, who only verifies it, and that no secret is in the bucket in the clear.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { artefact, collector } from '../helpers/bundle.ts';
import { lastLine, type Ran } from '../helpers/cli.ts';
import { missing, needs } from '../helpers/component.ts';
import { fileS3Bed, s3Bundle } from '../helpers/s3-cli.ts';
import { S3_COMPONENTS } from '../testbed/s3.ts';

const components = [...S3_COMPONENTS, 'age'];
const bed = missing(components) === undefined ? await fileS3Bed() : undefined;
const TABLE = '10-process/processes.jsonl';

interface Recipient {
  readonly file: string;
  readonly text: string;
}

const folder = await mkdtemp(join(tmpdir(), 'impound-test-'));
after(() => rm(folder, { recursive: true, force: true }));

function newRecipient(name: string): Recipient {
  const file = join(folder, name);
  execFileSync('age-keygen', ['-o', file], { stdio: 'ignore' });
  return { file, text: execFileSync('age-keygen', ['-y', file]).toString().trim() };
}

const to = (...recipients: readonly Recipient[]) => recipients.flatMap(({ text }) => ['--recipient', text]);

test('a capture to two recipients', async (t) => {
  if (!needs(t, ...components) || bed === undefined) return;
  const [alice, bob, eve] = [newRecipient('alice'), newRecipient('bob'), newRecipient('eve')];
  const secret = randomBytes(16).toString('hex');
  const victim = spawn('sleep', ['600'], { env: { PLANTED_SECRET: secret }, stdio: 'ignore' });
  t.after(() => victim.kill());
  await once(victim, 'spawn');
  const { name, url } = await bed.bucket({ objectLock: true });
  const words = ['capture', '--local', '--store', url, '--profile', 'quick', ...to(alice, bob)];
  const captured = await bed.run(words);
  assert.equal(captured.code, 0, captured.stderr);
  victim.kill();
  const bundle = lastLine(captured);
  const id = bundle.split('/').at(-1) ?? '';
  const files = join(bed.s3.root, name, bundle.slice(`s3://${name}/`.length));
  const dir = await bed.folder();

  await t.test('shows what stands out, though it is stored encrypted', () => {
    assert.match(captured.stdout, /^Stands out\nWHAT +PID +NAME +WHERE\n.*\blistener\b/ms);
  });

  await t.test('says in its request and its grant to whom', async () => {
    const request = JSON.parse((await bed.run(['cat', bundle, '00-meta/request.json'])).stdout);
    assert.deepEqual([request.encryption, request.recipients], ['age', [alice.text, bob.text]]);
    const listed = await bed.run(['ls', bundle, '--custody', '--json']);
    assert.equal(JSON.parse(listed.stdout.split('\n')[0] ?? '').predicate.details.encryption, 'age');
  });

  await t.test('holds no secret in the clear, by name of the file or in it', async () => {
    const hits = execFileSync('sh', ['-c', `grep -rlF "${secret}" "${bed.s3.root}" || true`]).toString();
    assert.equal(hits, '');
    // what is compressed would not show it either
    for (const path of await filesIn(join(files, 'data'))) {
      const sealed = (await readFile(join(files, 'data', path)))
        .toString('latin1')
        .startsWith('age-encryption.org/v1\n');
      assert.equal(sealed, !path.startsWith('00-meta/'), path);
    }
  });

  await t.test('is verified without any identity', async () => {
    const verified = await bed.run(['verify', bundle, '--strict', '--key', bed.key]);
    assert.equal(verified.code, 0, verified.stdout);
  });

  await t.test('is read by the age program, by either of the two', async () => {
    const stored = join(files, 'data', `${TABLE}.age`);
    for (const { file } of [alice, bob]) {
      const table = execFileSync('age', ['-d', '-i', file, stored], { maxBuffer: 1e8 }).toString();
      assert.ok(table.split('\n').some((line) => line.includes(`"pid":${process.pid}`)));
    }
    assert.throws(() => execFileSync('age', ['-d', '-i', eve.file, stored], { stdio: 'pipe' }));
  });

  await t.test('is read by cat with an identity, and not without', async () => {
    const without = await bed.run(['cat', bundle, TABLE]);
    assert.equal(without.code, 64, without.stderr);
    assert.match(without.stderr, /processes\.jsonl\.age is encrypted: give --identity FILE, or --raw.*\[usage\]$/m);
    for (const path of [TABLE, `data/${TABLE}`, `${TABLE}.age`]) {
      const read = await bed.run(['cat', bundle, path, '--identity', bob.file]);
      assert.equal(read.code, 0, read.stderr);
      assert.match(read.stdout, /^\{.*\}\n$/s);
    }
    const wrong = await bed.run(['cat', bundle, TABLE, '--identity', eve.file]);
    assert.deepEqual([wrong.code, wrong.stdout], [2, '']);
    assert.match(wrong.stderr, /none of the identities given opens .*\[key-unsuitable\]$/m);
    const raw = await bed.run(['cat', bundle, TABLE, '--raw']);
    assert.match(raw.stdout, /^age-encryption\.org\/v1\n/);
    const plain = await bed.run(['cat', bundle, '00-meta/request.json', '--identity', bob.file]);
    assert.equal(JSON.parse(plain.stdout).bundle, id);
  });

  await t.test('is pulled as it is, and decrypted beside it', async () => {
    const pulled = await bed.run(['pull', bundle, dir, '--reason', 'a test', '--identity', alice.file]);
    assert.equal(pulled.code, 0, pulled.stderr + pulled.stdout);
    assert.match(pulled.stdout, new RegExp(`^plain +\\d+ artefacts decrypted into ${dir}/${id}-plain$`, 'm'));
    const plain = join(dir, `${id}-plain`);
    const encrypted = await filesIn(join(dir, id, 'data'));
    assert.deepEqual(
      (await filesIn(join(plain, 'data'))).map((path) => `${path}.age`),
      encrypted.filter((path) => !path.startsWith('00-meta/')),
    );
    const table = execFileSync('age', ['-d', '-i', bob.file, join(files, 'data', `${TABLE}.age`)]);
    assert.deepEqual(await readFile(join(plain, 'data', TABLE)), table);
    const archive = zstdDecompressSync(await readFile(join(plain, 'data/10-process/proc.tar.zst')));
    assert.ok(archive.includes(`PLANTED_SECRET=${secret}`), 'what the bucket does not show, the recipients read');
    assert.equal((await bed.run(['verify', join(dir, id), '--strict', '--key', bed.key])).code, 0);
    const again = await bed.run(['pull', bundle, dir, '--reason', 'a test', '--identity', bob.file]);
    assert.equal(again.code, 0, again.stdout);
    await writeFile(join(plain, 'data', TABLE), 'mine');
    const occupied = await bed.run(['pull', bundle, dir, '--reason', 'a test', '--identity', bob.file]);
    assert.equal(occupied.code, 1);
    assert.match(
      occupied.stdout,
      /^✘ data\/10-process\/processes\.jsonl\.age: another file stands at .*, and was left$/m,
    );
  });

  await t.test('is pulled whole by whom it is not for, and said so once', async () => {
    const other = await bed.folder();
    const pulled = await bed.run(['pull', bundle, other, '--reason', 'a test', '--identity', eve.file]);
    assert.equal(pulled.code, 2, pulled.stdout);
    assert.equal(pulled.stdout.match(/none of the identities given opens/g)?.length, 1);
    assert.equal((await bed.run(['verify', join(other, id), '--strict', '--key', bed.key])).code, 0);
    assert.deepEqual(await filesIn(join(other, `${id}-plain`)), []);
    const before = await bed.folder();
    const none = await bed.run(['pull', bundle, before, '--reason', 'a test', '--identity', '/nonexistent']);
    assert.equal(none.code, 2);
    assert.match(none.stderr, /\[key-unreadable\]$/m);
    assert.deepEqual(await readdir(before), [], 'nothing is read where the identity cannot be');
  });
});

test('disk restore says of an encrypted image that it is one, and what opens it', async (t) => {
  if (!needs(t, ...components) || bed === undefined) return;
  const { name } = await bed.bucket();
  const image = collector('disk', async function* () {
    for (const file of ['map.jsonl.age', '000000.img.zst.age']) yield artefact(`80-disk/sda/${file}`, 'age-encryption');
  });
  const bundle = await s3Bundle(bed, name, { collectors: [image] });
  const out = join(await bed.folder(), 'sda.img');
  const ran = await bed.run(['disk', 'restore', bundle.url, 'sda', out]);
  assert.equal(ran.code, 2, ran.stdout);
  assert.match(ran.stderr, /image of sda is encrypted.*impound pull .* --identity FILE.*\[key-unsuitable\]$/m);
  await assert.rejects(readFile(out), { code: 'ENOENT' });
});

test('wrong words', async (t) => {
  if (!needs(t, ...components) || bed === undefined) return;
  const { url } = await bed.bucket();
  const store = ['capture', '--local', '--collector', 'host', '--store', url];
  const alice = newRecipient('words');
  const secret = (await readFile(alice.file, 'utf8')).split('\n').find((line) => line.startsWith('AGE-')) ?? '';
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [store, /give --recipient age1…/],
    [[...store, '--recipient', alice.text, '--encryption', 'none'], /give one of them/],
    [[...store, '--recipient', 'age1nobody'], /mistyped or cut off/],
    [[...store, '--recipient', 'alice'], /not an age recipient/],
    [[...store, '--recipient', secret], /a secret key was given as age recipient/],
    [[...store, '--encryption', 'some'], /encryption/],
  ];
  for (const [words, message] of wrong) {
    const ran: Ran = await bed.run(words);
    assert.equal(ran.code, 64, `${words.join(' ')}: ${ran.stderr}`);
    assert.match(ran.stderr, message);
    assert.ok(!ran.stderr.includes(secret));
  }
  assert.deepEqual(await filesIn(join(bed.s3.root, url.split('/')[2] ?? '')), []);
});

async function filesIn(base: string): Promise<readonly string[]> {
  const found = await readdir(base, { recursive: true, withFileTypes: true });
  return found
    .filter((file) => file.isFile())
    .map((file) => join(file.parentPath, file.name).slice(base.length + 1))
    .sort();
}
