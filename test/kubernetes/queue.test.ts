// The work queue: each key once, never twice at a time, one more run for what came meanwhile, failures ever more seldom.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { waitAfter } from '../../kubernetes/backoff.ts';
import { type Done, workQueue } from '../../kubernetes/queue.ts';
import { collectingLog, eventually } from './bed.ts';

const log = collectingLog();

test('a key that was added many times while it waits is worked on once', async () => {
  const worked: string[] = [];
  const queue = workQueue({ concurrency: 1, log, work: async (key) => void worked.push(key) });
  for (const key of ['a', 'b', 'a', 'a', 'c', 'b']) queue.add(key);
  await eventually(() => worked.length === 4);
  await sleep(20);
  // the first was taken at once: what was added after that is one more run
  assert.deepEqual(worked, ['a', 'b', 'c', 'a']);
  await queue.stop();
});

test('never two runs of a key, never more than the limit, and a run after the last add of each', async () => {
  const step = fc.record({
    key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    wait: fc.nat(3),
    takes: fc.nat(4),
    fails: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.integer({ min: 1, max: 3 }), async (steps, concurrency) => {
      const running = new Set<string>();
      const added = new Map<string, number>();
      const begun = new Map<string, number>();
      const plans = new Map<string, typeof steps>();
      let clock = 0;
      let wrong = '';
      const queue = workQueue({
        ...{ concurrency, log, backoff: { first: 1, most: 4 } },
        async work(key): Promise<Done | undefined> {
          if (running.has(key)) wrong = `two runs of ${key}`;
          running.add(key);
          if (running.size > concurrency) wrong = `${running.size} at once`;
          begun.set(key, ++clock);
          const plan = plans.get(key)?.shift();
          if (plan?.takes) await sleep(plan.takes);
          running.delete(key);
          if (plan?.fails) throw new Error('fails');
          return plan?.wait ? { after: plan.wait } : undefined;
        },
      });
      for (const one of steps) {
        plans.set(one.key, [...(plans.get(one.key) ?? []), one]);
        added.set(one.key, ++clock);
        queue.add(one.key);
        if (one.wait > 1) await sleep(one.wait);
      }
      await eventually(() => wrong !== '' || [...added].every(([key, at]) => (begun.get(key) ?? 0) > at), 5);
      await queue.stop();
      assert.equal(wrong, '');
      assert.equal(running.size, 0);
    }),
    { numRuns: 60 },
  );
});

test('an add during work is one more run after it', async () => {
  let runs = 0;
  const gate = Promise.withResolvers<void>();
  const work = async (): Promise<undefined> => {
    if (++runs === 1) await gate.promise;
  };
  const queue = workQueue({ concurrency: 4, log, work });
  queue.add('a');
  await eventually(() => runs === 1);
  for (let time = 0; time < 5; time++) queue.add('a');
  assert.deepEqual([queue.running, queue.waiting, runs], [1, 0, 1]);
  gate.resolve();
  await eventually(() => runs === 2);
  await sleep(30);
  assert.equal(runs, 2);
  await queue.stop();
});

test('of two waits of a key the shorter counts, and a result asks for the next', async () => {
  const at: number[] = [];
  const began = performance.now();
  const work = async (): Promise<Done | undefined> => {
    at.push(performance.now() - began);
    return at.length === 1 ? { after: 100 } : undefined;
  };
  const queue = workQueue({ concurrency: 1, log, work });
  queue.addAfter('a', 400);
  queue.addAfter('a', 50);
  queue.addAfter('a', 200);
  await sleep(500);
  assert.equal(at.length, 2);
  const [first = 0, second = 0] = at;
  assert.ok(first >= 45 && first < 140 && second >= 145 && second < 300, at.join());
  await queue.stop();
});

test('a key that fails waits longer each time, alone, and not any more once it succeeded', async () => {
  const at: number[] = [];
  let others = 0;
  const own = collectingLog();
  const queue = workQueue({
    ...{ concurrency: 1, log: own, backoff: { first: 20, most: 10_000 }, random: () => 1 },
    async work(key) {
      if (key === 'other') others++;
      else if (at.push(performance.now()) <= 4 || at.length === 6) throw new Error('no');
    },
  });
  queue.add('a');
  await eventually(() => at.length === 1);
  queue.add('other');
  await eventually(() => at.length === 5);
  assert.equal(others, 1);
  const gaps = at.slice(1).map((time, index) => time - (at[index] ?? 0));
  for (const [index, gap] of gaps.entries())
    assert.ok(gap >= 20 * 2 ** index - 2 && gap < 20 * 2 ** index + 60, gaps.join());
  queue.add('a');
  await eventually(() => at.length === 7);
  assert.deepEqual(own.lines.map(({ fields: { failed, wait } }) => [failed, wait]).at(-1), [1, 20]);
  await queue.stop();
});

test('it stops when what runs has ended, and takes nothing more', async () => {
  const worked: string[] = [];
  const queue = workQueue({
    ...{ concurrency: 1, log },
    async work(key) {
      await sleep(50);
      worked.push(key);
      return { after: 1 };
    },
  });
  queue.add('a');
  queue.add('b');
  queue.addAfter('c', 10);
  await sleep(5);
  await queue.stop();
  assert.deepEqual(worked, ['a']);
  queue.add('d');
  queue.addAfter('e', 1);
  await sleep(80);
  assert.deepEqual([worked, queue.waiting, queue.running], [['a'], 0, 0]);
});

test('waits double up to the limit, and vary', () => {
  const waits = [1, 2, 3, 10, 1000].map((failures) => waitAfter(failures, { first: 100, most: 10_000 }, () => 1));
  assert.deepEqual(waits, [100, 200, 400, 10_000, 10_000]);
  assert.equal(
    waitAfter(1, { first: 100, most: 10_000 }, () => 0),
    50,
  );
});
