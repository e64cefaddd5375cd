// impound check: what a person sees of a store, and the exit status that a script sees.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli, cliCommand, type Ran } from '../helpers/cli.ts';
import { needs } from '../helpers/component.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { MOTO_COMPONENTS, startMoto } from '../testbed/moto.ts';
import { makeBucket, type S3, S3_COMPONENTS, startS3 } from '../testbed/s3.ts';

type Person = Pick<S3, 'accessKeyId' | 'secretAccessKey'> & Partial<Pick<S3, 'region'>>;

/** As a person with these AWS credentials in the environment. */
function check({ accessKeyId, secretAccessKey, region }: Person, words: readonly string[]): Promise<Ran> {
  const [program = '', ...args] = cliCommand(['check', ...words]);
  const where = region === undefined ? {} : { AWS_REGION: region };
  const keys = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, ...where };
  const child = spawn(program, args, { env: { PATH: process.env.PATH, NO_COLOR: '1', ...keys }, timeout: 60_000 });
  return new Promise((resolve) => {
    const [out, err]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.on('close', (code) =>
      resolve({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }),
    );
  });
}

test('a bucket that has all of it: every line is ticked, and it says what it leaves', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await startS3(t);
  await s3.makeBucket({ name: 'evidence', objectLock: true });
  const words = ['--store', 's3://evidence/ir', '--endpoint', s3.endpoint, '--retain', '90', '--legal-hold'];
  const ran = await check(s3, words);
  assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  assert.equal(ran.stderr, '');
  assert.match(ran.stdout, /^✔ write only once +the second was refused \(412\)$/m);
  assert.doesNotMatch(ran.stdout, /^[✘!-] /m);
  assert.match(ran.stdout, /^Left there: 2 objects .* below s3:\/\/evidence\/ir\/\.impound-check\//m);
  assert.match(ran.stdout, /\ns3:\/\/evidence\/ir can take evidence\n$/);
  const json = await check(s3, [...words, '--json']);
  const { verdict, checks } = JSON.parse(json.stdout);
  assert.equal(verdict, 'suitable');
  assert.deepEqual(Object.keys(checks[0]), ['name', 'tried', 'needed', 'outcome', 'seen']);
});

test('a bucket that lacks something: the remedy stands below it, and the store is refused', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await startS3(t);
  await s3.makeBucket({ name: 'evidence' });
  const words = ['--store', 's3://evidence', '--endpoint', s3.endpoint];
  const locked = await check(s3, [...words, '--retain', '90']);
  assert.equal(locked.code, 1, locked.stdout + locked.stderr);
  assert.match(locked.stdout, /^✘ Object Lock +off, and it was asked for\n +→ turn Object Lock on/m);
  assert.match(locked.stdout, /^s3:\/\/evidence cannot take evidence as it is: Object Lock \[store-unsuitable\]$/m);
  const open = await check(s3, words);
  assert.equal(open.code, 0);
  assert.match(open.stdout, /^! Object Lock +off: whoever may delete/m);
  assert.match(open.stdout, /can take evidence, with 2 warnings\n$/);
});

test('a server that is not AWS has a region without a word; for AWS it is asked for', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { accessKeyId, secretAccessKey, endpoint, makeBucket: make } = await startS3(t);
  await make({ name: 'evidence' });
  const person = { accessKeyId, secretAccessKey };
  const there = await check(person, ['--store', 's3://evidence', '--endpoint', endpoint]);
  assert.equal(there.code, 0, there.stdout + there.stderr);
  assert.match(there.stdout, /^✔ region +us-east-1/m);
  const aws = await check(person, ['--store', 's3://evidence']);
  assert.equal(aws.code, 1, aws.stdout + aws.stderr);
  assert.match(aws.stdout, /^✘ reachable +nothing says in which AWS region evidence is: give --region/m);
});

test('a server that takes wrong bytes is refused', async (t) => {
  if (!needs(t, ...S3_COMPONENTS, ...MOTO_COMPONENTS)) return;
  const s3 = await startS3(t);
  const { endpoint } = await startMoto(t);
  await makeBucket(s3.clientOf({ endpoint }), { name: 'evidence', objectLock: true });
  const ran = await check(s3, ['--store', 's3://evidence', '--endpoint', endpoint]);
  assert.equal(ran.code, 1, ran.stdout + ran.stderr);
  assert.match(ran.stdout, /^✘ wrong bytes +they were taken: bytes that change on their way would pass for evidence$/m);
  assert.match(ran.stdout, /wrong bytes.*\[store-unsuitable\]/);
});

test('a store that does not answer ends with 2', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const ran = await check(await startS3(t), ['--store', 's3://evidence', '--endpoint', 'http://127.0.0.1:9']);
  assert.equal(ran.code, 2, ran.stdout + ran.stderr);
  assert.match(ran.stdout, /^✘ reachable +no answer from the store .*ECONNREFUSED$/m);
  assert.match(ran.stdout, /could not be checked: it does not answer \[store-unreachable\]\n$/);
});

test('a directory is tried and left as it was; what only S3 has is a wrong word there', async (t) => {
  const home = await temporaryFolder(t);
  await mkdir(join(home, 'store'));
  const ran = await cli(['check', '--store', 'store'], { home, cwd: home });
  assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  assert.match(ran.stdout, /^✔ write only once +the second was refused \(EEXIST\)$/m);
  const absent = await cli(['check', '--store', 'not/there'], { home, cwd: home });
  assert.equal(absent.code, 0, absent.stdout + absent.stderr);
  assert.deepEqual(await readdir(home, { recursive: true }), ['store']);
  const locked = await cli(['check', '--store', 'store', '--retain', '9'], { home, cwd: home });
  assert.equal(locked.code, 64);
  assert.match(locked.stderr, /\[usage\]$/m);
  for (const words of [
    ['--region', 'x'],
    ['--retain', '9'],
    ['--store', 'store', '--context', 'x'],
    ['--store', 'store', '--node', 'n'],
  ])
    assert.equal((await cli(['check', ...words], { home, cwd: home })).code, 64, words.join(' '));
  assert.match((await cli(['check'], { home })).stderr, /names no cluster.*\[api-unreachable\]/);
});
