// The clock of a collector, which stands while the store keeps it waiting.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { OwnTime } from '../../capture/own-time.ts';

test('what the store answers at once is the collector’s own time', async (t) => {
  const time = new OwnTime(1);
  t.after(() => time.end());
  const over = time.butFor(0);
  const begun = performance.now();
  while (!over.aborted && performance.now() - begun < 10_000) await time.store(sleep(20));
  assert.ok(performance.now() - begun < 5000);
  assert.ok(time.waited < 1000, `${time.waited} ms`);
});

test('calls that wait at the same time are waited for once', async (t) => {
  const time = new OwnTime(60);
  t.after(() => time.end());
  const begun = performance.now();
  await Promise.all([time.store(sleep(1500)), time.store(sleep(2500)), sleep(500).then(() => time.store(sleep(1500)))]);
  const seconds = (performance.now() - begun) / 1000;
  assert.ok(time.waited > 1000 && time.waited < (seconds - 0.9) * 1000, `${time.waited} ms of ${seconds} s`);
});

test('a mark that has been passed is told at once, one of endless time and of one that has ended never', async () => {
  const time = new OwnTime(0.1);
  await sleep(200);
  assert.ok(time.butFor(0).aborted);
  const endless = new OwnTime(Number.POSITIVE_INFINITY).butFor(0);
  const ended = new OwnTime(0.1);
  const never = ended.butFor(0);
  ended.end();
  await sleep(300);
  assert.deepEqual([endless.aborted, never.aborted], [false, false]);
});
