// One command captures this machine into a real S3, another pulls it out; what the bucket is asked for, and what stops it.
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { GetObjectLegalHoldCommand, GetObjectRetentionCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { lastLine } from '../helpers/cli.ts';
import { needs } from '../helpers/component.ts';
import { fileS3Bed } from '../helpers/s3-cli.ts';
import { startProxy } from '../testbed/fault-proxy.ts';
import { type S3, S3_COMPONENTS, startS3 } from '../testbed/s3.ts';

const bed = await fileS3Bed();
const small = ['capture', '--local', '--collector', 'host', '--encryption', 'none', '--docker', '/nonexistent'];

test('one command captures this machine, another pulls it, both verify, and the chain tells it all', async (t) => {
  if (!needs(t, ...S3_COMPONENTS) || bed === undefined) return;
  const { url } = await bed.bucket({ objectLock: { mode: 'COMPLIANCE', days: 1 } });
  const words = ['capture', '--local', '--store', url, '--encryption', 'none', '--profile', 'quick'];
  const captured = await bed.run([...words, '--case', 'IR-7', '--reason', 'miner on web-3']);
  assert.equal(captured.code, 0, captured.stderr);
  const bundle = lastLine(captured);
  assert.match(bundle, new RegExp(`^${url}/local/IR-7/[0-9a-f-]{36}$`));
  assert.match(captured.stdout, /^Stands out$/m);
  const head = /head +(\d+:[0-9a-f]{64})/.exec(captured.stdout)?.[1] ?? '';

  const dir = join(await bed.folder(), 'new', 'case');
  const pulled = await bed.run(['pull', bundle, dir, '--reason', 'triage of IR-7']);
  assert.equal(pulled.code, 0, pulled.stderr + pulled.stdout);
  assert.equal(pulled.stderr, '');
  const copy = lastLine(pulled);
  assert.match(pulled.stdout, /^access +entry (\d+) of the custody chain\nhead +\1:[0-9a-f]{64}$/m);
  assert.match(pulled.stdout, /^every file is as the chain says; whose chain it is, verify tells$/m);
  for (const place of [bundle, copy]) {
    const verified = await bed.run(['verify', place, '--strict', '--key', bed.key, '--head', head]);
    assert.equal(verified.code, 0, verified.stdout);
    assert.equal(lastLine(verified), 'intact');
  }
  const listed = await bed.run(['ls', copy, '--custody', '--json']);
  const entries = listed.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).predicate);
  const actions = entries.map(({ action }: { action: string }) => action);
  assert.deepEqual(actions.slice(0, 2), ['grant', 'session']);
  assert.deepEqual(actions.slice(-3), ['close', 'seal', 'access']);
  assert.deepEqual(new Set(actions.slice(2, -3)), new Set(['collect']));
  assert.equal(entries.at(-1).details.reason, 'triage of IR-7');
  assert.match((await bed.run(['ls', bundle, '--custody'])).stdout, /^ *\d+ +\S+Z +access .*triage of IR-7$/m);
});

test('--json says it in one line', async (t) => {
  if (!needs(t, ...S3_COMPONENTS) || bed === undefined) return;
  const { url } = await bed.bucket();
  const captured = await bed.run([...small, '--store', url, '--json']);
  assert.equal(captured.code, 0, captured.stderr);
  const { path, head } = JSON.parse(captured.stdout);
  const dir = await bed.folder();
  const pulled = await bed.run(['pull', path, dir, '--reason', 'a test', '--json']);
  const { bundle, from, access, troubles } = JSON.parse(pulled.stdout);
  assert.deepEqual([from, troubles], [path, []]);
  assert.equal(access.sequence, head.sequence + 1);
  const missing = await bed.run(['pull', `${url}/nothing`, dir, '--reason', 'a test', '--json']);
  assert.equal(missing.code, 2);
  assert.equal(JSON.parse(missing.stdout).error.code, 'not-a-bundle');
  assert.deepEqual(await readdir(dir), [bundle]);
});

test('retention and legal hold are on every object, and SSE-KMS is asked for with every object', async (t) => {
  if (!needs(t, ...S3_COMPONENTS) || bed === undefined) return;
  const { name, url } = await bed.bucket({ objectLock: true });
  const captured = await bed.run([
    ...small,
    '--store',
    url,
    '--retain',
    '30',
    '--lock-mode',
    'GOVERNANCE',
    '--legal-hold',
  ]);
  assert.equal(captured.code, 0, captured.stderr);
  const { Versions = [] } = await bed.s3.client.send(new ListObjectVersionsCommand({ Bucket: name }));
  assert.ok(Versions.length > 10);
  for (const { Key } of Versions) {
    const { mode, days, hold } = await lockOf(bed.s3, { Bucket: name, Key });
    assert.deepEqual([mode, hold], ['GOVERNANCE', 'ON'], Key);
    assert.ok(days > 29.9 && days <= 30, `${Key}: ${days} days`);
  }
  const proxy = await startProxy(t, bed.s3.endpoint);
  const key = 'arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555';
  await bed.run([...small, '--store', url, '--sse-kms', key], { endpoint: proxy.endpoint });
  const puts = proxy.seen.filter(
    ({ method, target }) => method === 'PUT' || (method === 'POST' && /uploads/.test(target)),
  );
  assert.ok(puts.length > 0);
  for (const { headers } of puts) {
    assert.equal(headers['x-amz-server-side-encryption'], 'aws:kms');
    assert.equal(headers['x-amz-server-side-encryption-aws-kms-key-id'], key);
  }
});

test('what stops a capture to S3 is said at once, with what to do, and nothing is written', async (t) => {
  if (!needs(t, ...S3_COMPONENTS) || bed === undefined) return;
  const { name, url } = await bed.bucket();
  const proxy = await startProxy(t, bed.s3.endpoint);
  const nobody = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined };
  const wrong = { AWS_SECRET_ACCESS_KEY: 'wrong' };
  const refusals: readonly (readonly [string, readonly string[], Record<string, string | undefined>, RegExp])[] = [
    ['no such bucket', ['--store', 's3://no-such-bucket/ir'], {}, /no bucket no-such-bucket.*\[store-missing\]$/m],
    ['no credentials', ['--store', url], nobody, /AWS_PROFILE.*\[store-credentials\]$/m],
    ['a wrong secret', ['--store', url], wrong, /\[store-(?:credentials|denied)\]$/m],
    ['no Object Lock', ['--store', url, '--retain', '7'], {}, /no Object Lock.*--retain.*\[store-unlocked\]$/m],
    ['no Object Lock', ['--store', url, '--legal-hold'], {}, /no Object Lock.*\[store-unlocked\]$/m],
  ];
  for (const [what, words, env, message] of refusals)
    await t.test(`${what}: ${words.slice(2).join(' ')}`, async () => {
      const begun = performance.now();
      const ran = await bed.run([...small, ...words], { endpoint: proxy.endpoint, env });
      assert.equal(ran.code, 2, ran.stdout);
      assert.match(ran.stderr, message);
      const took = performance.now() - begun;
      assert.ok(took < 5000, `${took} ms`);
    });
  await t.test('another region', async () => {
    const ran = await bed.run([...small, '--store', url], { env: { AWS_REGION: 'eu-west-1' } });
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, /us-east-1.*AWS_REGION.*\[store-region\]$/m);
  });
  await t.test('somebody who may not', async () => {
    const ran = await bed.run([...small, '--store', url], { account: bed.s3.user, endpoint: proxy.endpoint });
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, /s3:\w+ on s3:\/\/.* is not allowed.*\[store-denied\]$/m);
  });
  assert.deepEqual((await bed.s3.client.send(new ListObjectVersionsCommand({ Bucket: name }))).Versions ?? [], []);
  const changed = proxy.seen.filter(({ method, status }) => method !== 'GET' && method !== 'HEAD' && status === 200);
  assert.deepEqual(changed, []);
});

test('a store that takes no writes', async (t) => {
  if (!needs(t, ...S3_COMPONENTS) || bed === undefined) return;
  const readonly = await startS3(t, { readonly: true });
  const ran = await bed.run([...small, '--store', 's3://evidence/ir'], {
    account: readonly,
    endpoint: readonly.endpoint,
  });
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /\[store-(?:missing|denied)\]$/m);
});

test('wrong words', async (t) => {
  if (!needs(t, ...S3_COMPONENTS) || bed === undefined) return;
  const { url } = await bed.bucket();
  const folder = await bed.folder();
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [[...small, '--store', join(folder, 'store'), '--retain', '7'], /for a store in S3/],
    [[...small, '--store', join(folder, 'store'), '--legal-hold'], /for a store in S3/],
    [[...small, '--store', join(folder, 'store'), '--sse-kms', 'alias/x'], /for a store in S3/],
    [[...small, '--store', url, '--retain', '0'], /whole days from 1/],
    [[...small, '--store', url, '--retain', '1.5'], /whole days from 1/],
    [[...small, '--store', 's3://'], /no name of a bucket/],
    [[...small, '--store', 's3://Evidence/ir'], /no name of a bucket/],
    [[...small, '--store', 's3://evidence/a b'], /the prefix may have/],
    [['pull', `${url}/x`, folder], /--reason/],
  ];
  for (const [words, message] of wrong) {
    const ran = await bed.run(words);
    assert.equal(ran.code, 64, `${words.join(' ')}: ${ran.stderr}`);
    assert.match(ran.stderr, message);
  }
  assert.deepEqual(await readdir(folder), []);
});

async function lockOf({ client }: S3, at: { readonly Bucket: string; readonly Key: string | undefined }) {
  const { Retention } = await client.send(new GetObjectRetentionCommand(at));
  const { LegalHold } = await client.send(new GetObjectLegalHoldCommand(at));
  const days = ((Retention?.RetainUntilDate?.getTime() ?? 0) - Date.now()) / 86_400_000;
  return { mode: Retention?.Mode, days, hold: LegalHold?.Status };
}
