// The smallest, the largest and very many: stored and verified in S3 within the memory that a node can spare.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { needs } from '../../helpers/component.ts';
import { EVIDENCE, s3StoreOf } from '../../helpers/s3.ts';
import type { Measured, Sizes } from '../../helpers/s3-sizes.ts';
import { type S3, S3_COMPONENTS, startS3 } from '../../testbed/s3.ts';

const MB = 1e6;
const MEMORY_BYTES = 250 * MB;
const GIBIBYTES = process.env.IMPOUND_SOAK === undefined ? 1 : 12;
const SMALL = 5000;

const program = join(import.meta.dirname, '../../helpers/s3-sizes.ts');
/** Of bin/impound. */
const MALLOC = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '131072' };

async function server(t: TestContext): Promise<S3> {
  const s3 = await startS3(t, { sidecar: true });
  await s3.makeBucket({ name: EVIDENCE, objectLock: true });
  return s3;
}

async function measure(s3: S3, verb: 'capture' | 'verify', sizes: Sizes): Promise<Measured> {
  const account = {
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    AWS_REGION: s3.region,
  };
  const what = { IMPOUND_SIZES: JSON.stringify(sizes), IMPOUND_PREFIX: 'sizes', IMPOUND_ENDPOINT: s3.endpoint };
  const env = { PATH: process.env.PATH, ...MALLOC, ...account, ...what };
  const { stdout } = await promisify(execFile)(process.execPath, [program, verb], { env });
  return JSON.parse(stdout) as Measured;
}

function assertSmall({ peakBytes }: Measured): void {
  assert.ok(peakBytes < MEMORY_BYTES, `${(peakBytes / MB).toFixed(0)} MB`);
}

test(`${SMALL} small artefacts and one of 0 bytes are stored and verified in under 250 MB`, async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await server(t);
  for (const verb of ['capture', 'verify'] as const) {
    const measured = await measure(s3, verb, { small: SMALL, largeBytes: 0 });
    t.diagnostic(`${verb}: ${(SMALL / measured.seconds).toFixed(0)} artefacts/s, ${figures(measured)}`);
    assertSmall(measured);
  }
});

test(`one artefact of ${GIBIBYTES} GiB is stored and verified in under 250 MB`, async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await server(t);
  const largeBytes = GIBIBYTES * 1024 ** 3;
  for (const verb of ['capture', 'verify'] as const) {
    const measured = await measure(s3, verb, { small: 0, largeBytes });
    t.diagnostic(`${verb}: ${(largeBytes / MB / measured.seconds).toFixed(0)} MB/s, ${figures(measured)}`);
    assertSmall(measured);
  }
});

function figures({ seconds, cpuSeconds, peakBytes }: Measured): string {
  return `${seconds.toFixed(1)} s, ${cpuSeconds.toFixed(1)} s of CPU, peak ${(peakBytes / MB).toFixed(0)} MB`;
}

test('more objects than the store lists at once are listed once each, with what was written over them', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await server(t);
  const store = s3StoreOf(s3, 'many');
  const paths = Array.from({ length: 1100 }, (_, index) => `data/10-process/${String(index).padStart(4, '0')}`);
  const send = (path: string, Body: string) =>
    s3.client.send(new PutObjectCommand({ Bucket: EVIDENCE, Key: `many/${path}`, Body }));
  for (let start = 0; start < paths.length; start += 25)
    await Promise.all(paths.slice(start, start + 25).map((path) => send(path, path)));
  // those at the end of a page
  for (const path of ['data/10-process/0999', 'data/10-process/1000'])
    await send(path, 'later, and longer than before');
  const listed = await Array.fromAsync(store.list());
  assert.deepEqual(listed.map(({ path }) => path).sort(), paths);
  for (const { path, size, later } of listed) {
    assert.equal(size, path.length, path);
    assert.equal(later, ['0999', '1000'].includes(path.slice(-4)) ? 1 : undefined, path);
  }
});
