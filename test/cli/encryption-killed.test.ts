// kill -9 of an encrypted capture into S3: sealed later, it verifies, and what was cut off decrypts as far as it goes.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ListMultipartUploadsCommand, ListPartsCommand } from '@aws-sdk/client-s3';
import { missing, needs } from '../helpers/component.ts';
import { fileS3Bed, type S3Bed } from '../helpers/s3-cli.ts';
import { needsRoot } from '../helpers/small-disk.ts';
import { startProxy } from '../testbed/fault-proxy.ts';
import { S3_COMPONENTS } from '../testbed/s3.ts';

const components = [...S3_COMPONENTS, 'age'];
const bed = missing(components) === undefined ? await fileS3Bed() : undefined;
const MIB = 1024 ** 2;
/** Of noise, which does not compress, with a mark in each page: so much memory takes several parts. */
const VICTIM = `const b = Buffer.allocUnsafeSlow(${160 * MIB}); 
for (let i = 0; i < b.length; i += 65536) crypto.getRandomValues(b.subarray(i, i + 65536));
console.log('ready'); setInterval(() => b[0]++, 1000);`;

test('a capture that was killed while it sent memory', { skip: needsRoot }, async (t) => {
  if (!needs(t, ...components) || bed === undefined) return;
  const home = await bed.folder();
  const identity = join(home, 'identity');
  execFileSync('age-keygen', ['-o', identity], { stdio: 'ignore' });
  const recipient = execFileSync('age-keygen', ['-y', identity]).toString().trim();
  const victim = spawn(process.execPath, ['-e', VICTIM], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => victim.kill('SIGKILL'));
  await once(victim.stdout, 'data');
  const { name, url } = await bed.bucket({ objectLock: true });
  const proxy = await startProxy(t, bed.s3.endpoint);
  proxy.add({
    method: 'PUT',
    target: /partNumber/,
    nth: 3,
    times: 100,
    fault: { kind: 'delay', milliseconds: 60_000 },
  });
  const suspect = ['--collector', 'memory', '--suspect', `pid:${victim.pid}`];
  const words = ['capture', '--local', '--store', url, '--recipient', recipient, ...suspect];
  const child = bed.start(words, { endpoint: proxy.endpoint });
  for (const stream of [child.stdout, child.stderr]) stream?.resume();
  t.after(() => child.kill('SIGKILL'));
  for (let tries = 0; tries < 400 && (await partsOf(bed, name)) < 2; tries++) await sleep(50);
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  assert.ok((await partsOf(bed, name)) >= 2, 'it was killed while it sent');

  const [listed] = (await bed.run(['bundles', url, '--json'])).stdout.split('\n');
  const { path: bundle, bundle: id, state } = JSON.parse(listed ?? '{}');
  assert.equal(state, 'unsealed');
  const sealed = await bed.run(['seal', bundle]);
  assert.equal(sealed.code, 0, sealed.stderr);
  const verified = await bed.run(['verify', bundle, '--strict', '--key', bed.key, '--json']);
  assert.equal(verified.code, 0, verified.stdout);
  const { verdict, capture } = JSON.parse(verified.stdout);
  assert.deepEqual([verdict, capture.outcome], ['intact', 'recovered']);
  assert.ok(capture.truncated > 0);
  const { artefacts } = JSON.parse((await bed.run(['ls', bundle, '--json'])).stdout);
  const cut = artefacts.find(
    ({ truncated, size }: { truncated?: string; size: number }) => truncated && size > 16 * MIB,
  );
  assert.match(cut.path, /\.zst\.age$/);

  const dir = await bed.folder();
  const pulled = await bed.run(['pull', bundle, dir, '--reason', 'a test', '--identity', identity]);
  assert.equal(pulled.code, 0, pulled.stdout + pulled.stderr);
  assert.match(pulled.stdout, /cut off by the end of the capture.*: data\/40-memory\//);
  const plain = await readFile(join(dir, `${id}-plain`, cut.path.slice(0, -'.age'.length)));
  // all but the chunk that the cut went through, header and tags
  assert.ok(plain.length > cut.size - 64 * 1024 - 17 * (cut.size / 65536) - 4096, `${plain.length} of ${cut.size}`);
  const content = spawnSync('zstd', ['-dc'], { input: plain, maxBuffer: 1e9 });
  assert.ok(content.stdout.length > 0.9 * plain.length, `${content.stdout.length} of ${plain.length}`);
  const age = spawnSync('age', ['-d', '-i', identity, join(dir, id, cut.path)], { maxBuffer: 1e9 });
  assert.notEqual(age.status, 0);
  assert.ok(plain.subarray(0, age.stdout.length).equals(age.stdout), 'as far as age itself');
  const read = await bed.run(['cat', bundle, cut.path, '--identity', identity]);
  assert.equal(read.code, 2);
  assert.match(read.stderr, /\[content-damaged\]$/m);
  assert.ok(read.stdout.length > 0);
});

async function partsOf({ s3 }: S3Bed, name: string): Promise<number> {
  const { Uploads = [] } = await s3.client.send(new ListMultipartUploadsCommand({ Bucket: name }));
  let most = 0;
  for (const { Key, UploadId } of Uploads) {
    const { Parts = [] } = await s3.client.send(new ListPartsCommand({ Bucket: name, Key, UploadId }));
    most = Math.max(most, Parts.length);
  }
  return most;
}
