// What networks do to whoever reads from S3, and to an entry of the chain before an outage.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ImpoundError } from '../../../evidence/index.ts';
import { artefact, collector } from '../../helpers/bundle.ts';
import { missing, needs } from '../../helpers/component.ts';
import { captureInto, EVIDENCE, s3StoreOf } from '../../helpers/s3.ts';
import { assertWhole, contents, noise, random, SEED, signer } from '../../helpers/s3-faults.ts';
import { timed } from '../../helpers/timed.ts';
import type { Fault } from '../../testbed/fault-exchange.ts';
import { startProxy } from '../../testbed/fault-proxy.ts';
import { type S3, S3_COMPONENTS, startS3 } from '../../testbed/s3.ts';

const MIB = 1024 ** 2;
/** Of one request, instead of minutes, where the fault stays. */
const PATIENCE = { milliseconds: 1200 };
const BOUND_SECONDS = 25;

let s3: S3;
let cases = 0;

if (missing(S3_COMPONENTS) === undefined) {
  s3 = await startS3({ after });
  await s3.makeBucket({ name: EVIDENCE, objectLock: true });
}

test('reading goes on where the connection broke off, again and again', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  t.diagnostic(`IMPOUND_SEED=${SEED}`);
  const [bytes, path] = [Buffer.concat(Array.from({ length: 24 }, () => noise)), 'data/10-process/read.bin'];
  const prefix = `case${++cases}`;
  const direct = s3StoreOf(s3, prefix);
  const writer = await direct.create(path);
  await writer.write(bytes);
  await writer.commit();
  const flaky = await startProxy(t, s3.endpoint);
  const cut = (): Fault => ({ kind: 'cut-response', bytes: Math.floor(random() * 4 * MIB) });
  flaky.add(
    ...Array.from({ length: 6 }, (_, index) => ({ method: 'GET', nth: 1 + index, fault: cut() })),
    { method: 'GET', nth: 7, fault: { kind: 'half-response' } },
    { method: 'GET', nth: 8, times: 2, fault: { kind: 'answer', status: 503, code: 'SlowDown' } },
    { method: 'GET', nth: 10, fault: { kind: 'throttle', bytesPerSecond: 32 * MIB } },
  );
  const store = s3StoreOf(s3, prefix, { endpoint: flaky.endpoint, patience: PATIENCE });
  const read = Buffer.concat(await Array.fromAsync(store.read(path)));
  assert.ok(read.equals(bytes));
  const range = Buffer.concat(await Array.fromAsync(store.read(path, { start: 5, end: 20 * MIB })));
  assert.ok(range.equals(bytes.subarray(5, 20 * MIB)));
});

test('a store that breaks off each answer is given up, and not asked without end', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const prefix = `case${++cases}`;
  const direct = s3StoreOf(s3, prefix);
  await direct.put('data/10-process/read.bin', noise);
  const broken = await startProxy(t, s3.endpoint);
  broken.add({ method: 'GET', times: Number.POSITIVE_INFINITY, fault: { kind: 'half-response' } });
  const store = s3StoreOf(s3, prefix, { endpoint: broken.endpoint, patience: PATIENCE });
  const { value, seconds } = await timed(() =>
    Array.fromAsync(store.read('data/10-process/read.bin', { start: MIB - 1 })).catch((error: unknown) => error),
  );
  assert.ok(value instanceof ImpoundError);
  assert.equal(value.code, 'store-unreachable');
  assert.ok(seconds < BOUND_SECONDS);
  assert.ok(broken.seen.length < 30, `${broken.seen.length} requests`);
});

test('an entry whose answer was lost before an outage is on the chain once when the store is back', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const outage = await startProxy(t, s3.endpoint);
  const prefix = `case${++cases}`;
  outage.add(
    { target: /custody\/000002/, fault: { kind: 'lose-response' } },
    { target: /custody\/000002/, nth: 2, times: Number.POSITIVE_INFINITY, fault: { kind: 'cut-request', bytes: 0 } },
  );
  const [first, second] = ['data/10-process/before.bin', 'data/10-process/after.bin'];
  for (const path of [first, second]) contents.set(path, { block: noise.subarray(0, 1000), times: 1 });
  const collectors = [
    collector(
      'outage',
      async function* () {
        yield artefact('10-process/before.bin', noise.subarray(0, 1000));
        await sleep(5000); // the entry is given up
        outage.clear();
        yield artefact('10-process/after.bin', noise.subarray(0, 1000));
      },
      { artefacts: [first, second], limits: { bytes: MIB, seconds: 60 } },
    ),
  ];
  const store = s3StoreOf(s3, prefix, { endpoint: outage.endpoint, patience: { milliseconds: 300 } });
  const captured = await captureInto({ store, collectors, signer });
  assert.deepEqual([captured.kind, captured.kind === 'failed' && captured.rescued], ['failed', true]);
  await assertWhole(s3StoreOf(s3, prefix), collectors, 'an outage', true);
});
