// Who writes over evidence, hides it or removes it: verify, ls and cat read what the chain names, or say that it is gone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeleteObjectCommand, ListObjectVersionsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { needs } from '../helpers/component.ts';
import { fileS3Bed, s3Bundle } from '../helpers/s3-cli.ts';
import { S3_COMPONENTS } from '../testbed/s3.ts';

const bed = await fileS3Bed();
const TABLE = 'data/10-process/processes.jsonl';
const TEXT = 'data/50-kernel/dmesg.txt.zst';

async function setup(t: Parameters<typeof needs>[0], more = {}) {
  if (!needs(t, ...S3_COMPONENTS) || bed === undefined) return undefined;
  const { name, url } = await bed.bucket(more);
  const bundle = await s3Bundle(bed, name);
  const at = (path: string) => ({ Bucket: name, Key: `${bundle.url.slice(`s3://${name}/`.length)}/${path}` });
  return { bed, url, bundle, client: bed.s3.client, at };
}

test('newer versions and delete marks change nothing, and are said', async (t) => {
  const made = await setup(t, { objectLock: true });
  if (made === undefined) return;
  const { bed, url, bundle, client, at } = made;
  const forged = JSON.stringify({ node: 'forged', requestedAt: '1999-01-01T00:00:00Z' });
  await client.send(new PutObjectCommand({ ...at(TABLE), Body: '{"process":{"pid":666}}\n' }));
  const seal = `custody/${String(bundle.head.sequence).padStart(6, '0')}.dsse.json`;
  for (const entry of ['custody/000001.dsse.json', seal])
    await client.send(new PutObjectCommand({ ...at(entry), Body: '{}' }));
  await client.send(new PutObjectCommand({ ...at('data/00-meta/request.json'), Body: forged }));
  await client.send(new DeleteObjectCommand(at(TEXT)));
  const verified = await bed.run(['verify', bundle.url, '--strict', '--key', bed.key, '--json']);
  assert.equal(verified.code, 0, verified.stdout);
  const { verdict, warnings } = JSON.parse(verified.stdout);
  assert.equal(verdict, 'intact');
  const said = warnings.map(({ code, path }: { code: string; path: string }) => `${code} ${path}`).sort();
  const paths = ['custody/000001.dsse.json', seal, 'data/00-meta/request.json', TABLE, TEXT];
  assert.deepEqual(
    said,
    paths.map((path) => `overwritten ${path}`),
  );
  assert.match(
    (await bed.run(['verify', bundle.url])).stdout,
    /^! .*processes\.jsonl: 1 later version.*\[overwritten\]$/m,
  );

  const dir = await bed.folder();
  const pulled = await bed.run(['pull', bundle.url, dir, '--reason', 'a test']);
  assert.equal(pulled.code, 0, pulled.stdout);
  const copy = await bed.run(['verify', `${dir}/${bundle.id}`, '--strict', '--key', bed.key]);
  assert.equal(copy.code, 0, copy.stdout);

  for (const path of [TABLE, '10-process/processes.jsonl']) {
    const read = await bed.run(['cat', bundle.url, path]);
    assert.equal(read.stdout, '{"process":{"pid":1}}\n{"process":{"pid":2}}\n', path);
  }
  assert.equal((await bed.run(['cat', bundle.url, '50-kernel/dmesg.txt.zst'])).stdout, 'one\ntwo\n');
  assert.match((await bed.run(['ls', bundle.url])).stdout, /processes\.jsonl/);
  const [listed] = (await bed.run(['bundles', url, '--json'])).stdout
    .split('\n')
    .map((line) => JSON.parse(line || '{}'));
  assert.deepEqual([listed.node, listed.state], ['here', 'sealed']);
});

test('a version that is gone is not intact, and not pulled', async (t) => {
  const made = await setup(t, { versioning: true });
  if (made === undefined) return;
  const { bed, bundle, client, at } = made;
  await client.send(new PutObjectCommand({ ...at(TABLE), Body: '{"process":{"pid":666}}\n' }));
  const { Versions = [] } = await client.send(
    new ListObjectVersionsCommand({ Bucket: at('').Bucket, Prefix: at(TABLE).Key }),
  );
  await client.send(new DeleteObjectCommand({ ...at(TABLE), VersionId: Versions.at(-1)?.VersionId }));
  const verified = await bed.run(['verify', bundle.url, '--key', bed.key, '--json']);
  assert.equal(verified.code, 1, verified.stdout);
  const { verdict, findings } = JSON.parse(verified.stdout);
  assert.equal(verdict, 'not intact');
  assert.deepEqual(
    findings.map(({ code, path }: { code: string; path: string }) => `${code} ${path}`),
    [`payload-missing ${TABLE}`],
  );
  const dir = await bed.folder();
  const pulled = await bed.run(['pull', bundle.url, dir, '--reason', 'a test', '--json']);
  assert.equal(pulled.code, 1, pulled.stdout);
  assert.deepEqual(
    JSON.parse(pulled.stdout).troubles.map(({ kind, path }: { kind: string; path: string }) => `${kind} ${path}`),
    [`missing ${TABLE}`],
  );
});

test('in a bucket without versions what was written over is not intact', async (t) => {
  const made = await setup(t);
  if (made === undefined) return;
  const { bed, bundle, client, at } = made;
  await client.send(new PutObjectCommand({ ...at(TABLE), Body: '{"process":{"pid":666}}\n' }));
  await client.send(new DeleteObjectCommand(at(TEXT)));
  const verified = await bed.run(['verify', bundle.url, '--key', bed.key, '--json']);
  assert.equal(verified.code, 1, verified.stdout);
  const codes = JSON.parse(verified.stdout).findings.map(({ code }: { code: string }) => code);
  assert.deepEqual(codes.sort(), ['payload-altered', 'payload-missing']);
});
