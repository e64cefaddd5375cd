// Waiting no longer than a limit: what comes first counts, nothing is left behind, and no later failure is nobody's.
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { unlessAborted, within } from '../../../evidence/index.ts';

const never = new Promise<never>(() => undefined);
const failing = async (milliseconds: number): Promise<never> => {
  await sleep(milliseconds);
  throw new Error('the work');
};
const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
const isLate = (): never => {
  throw new Error('late');
};

test('what the work gives or throws in time is what comes of it, and no timer is left', async () => {
  const before = timers();
  assert.equal(await within(Promise.resolve('done'), 60_000, isLate), 'done');
  await assert.rejects(within(failing(1), 60_000, isLate), /the work/);
  assert.equal(timers(), before);
});

test('after its limit it is what `late` gives or throws; a failure after that is nobody’s', async () => {
  assert.equal(await within(never, 5, () => 'late'), 'late');
  await assert.rejects(within(failing(20), 5, isLate), /late/);
  await sleep(40); // an unhandled rejection would fail this test
});

test('a signal is such a limit: at once where it has aborted, and it is not listened to afterwards', async () => {
  const over = new AbortController();
  const { signal } = over;
  assert.equal(await unlessAborted(Promise.resolve('done'), signal, isLate), 'done');
  await assert.rejects(unlessAborted(failing(1), signal, isLate), /the work/);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  const waiting = unlessAborted(never, signal, () => 'late');
  over.abort();
  assert.equal(await waiting, 'late');
  await assert.rejects(unlessAborted(Promise.resolve('done'), signal, isLate), /late/);
  assert.equal(await unlessAborted(failing(5), signal, () => 'late'), 'late');
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  await sleep(20);
});
