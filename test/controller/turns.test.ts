// Who goes first where many captures begin at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeTurns, type TurnsOptions } from '../../controller/turns.ts';
import type { NodeCapture } from '../../protocol/index.ts';

function captureOf(name: string, second = 0): NodeCapture {
  const creationTimestamp = `2026-01-01T00:00:0${second}Z`;
  const spec = { node: name, requestedBy: 'a', reason: 'b' } as NodeCapture['spec'];
  return { metadata: { name, creationTimestamp }, spec } as NodeCapture;
}
const CAPTURE = captureOf('one');

function turnsOf(options: Partial<TurnsOptions>) {
  return makeTurns({ atOnce: 1, begin: 2, wake: () => undefined, ...options });
}

test('what goes first: so many at once and no more, the oldest capture’s first; the others wait until it is done', async () => {
  const turns = turnsOf({ atOnce: 2 });
  const order: string[] = [];
  let running = 0;
  const first = (name: string, second: number): Promise<void> =>
    turns.first(captureOf(name, second), async () => {
      running++;
      assert.ok(running <= 2);
      order.push(name);
      await sleep(5);
      running--;
    });
  const all = [first('a', 9), first('b', 9), first('d', 5), first('c', 5), first('e', 1), first('e', 1)];
  await turns.calm();
  assert.deepEqual(order, ['a', 'b', 'e', 'e', 'c', 'd'], 'those that came while there was room, then by age');
  assert.equal(running, 0);
  await Promise.all(all);
});

test('while a capture begins the others wait; what fails gives its place on', async () => {
  const turns = turnsOf({});
  turns.begins('one');
  let isCalm = false;
  const calm = turns.calm().then(() => {
    isCalm = true;
  });
  const failure = turns.first(CAPTURE, async () => Promise.reject(new Error('no')));
  const other = turns.first(CAPTURE, async () => 'yes');
  await assert.rejects(failure, /no/);
  assert.equal(await other, 'yes');
  assert.equal(isCalm, false);
  turns.begun('one');
  await calm;
  turns.begins('two');
  turns.clear();
  await turns.calm();
});

test('one that never gets on holds the others up once, and for a time', { timeout: 5000 }, async () => {
  const turns = turnsOf({ patience: 20 });
  turns.begins('stuck');
  await turns.calm();
  await turns.first(CAPTURE, async () => undefined);
  await turns.calm();
  turns.begun('stuck');
  await turns.calm();
  turns.begins('another');
  let waits = true;
  const calm = turns.calm().then(() => {
    waits = false;
  });
  await Promise.resolve();
  assert.equal(waits, true);
  await calm;
});

test('of several that begin each is waited for until its first evidence, once its agent was told for a moment', {
  timeout: 5000,
}, async () => {
  const turns = turnsOf({ patience: 60_000, moment: 200 });
  turns.begins('alone');
  turns.told('alone', true);
  assert.equal(turns.isCalm(), true, 'nobody else waits for it');
  turns.begins('one');
  turns.begins('dead');
  turns.told('one', true);
  turns.told('dead', true);
  turns.begun('one');
  assert.equal(turns.isCalm(), false);
  turns.told('dead', true);
  assert.equal(turns.isCalm(), false, 'said again it has not begun either');
  const ticking = setInterval(() => undefined, 1000); // the moment itself keeps no process alive
  await turns.calm();
  clearInterval(ticking);
});

test('of those that begin so many go on, and the oldest of the others is woken when one has its first evidence', () => {
  const woken: string[] = [];
  const turns = turnsOf({ wake: (name) => woken.push(name) });
  const captures = [captureOf('a', 9), captureOf('b', 8), captureOf('c', 5), captureOf('d', 1)];
  assert.equal(turns.mayGoOn(CAPTURE), true, 'nothing begins');
  for (const { metadata } of captures) turns.begins(metadata.name);
  const [a, b, c, d] = captures as [NodeCapture, NodeCapture, NodeCapture, NodeCapture];
  assert.deepEqual([a, b, c, d, a].map(turns.mayGoOn), [true, true, false, false, true]);
  turns.told('a', true);
  assert.deepEqual(woken, [], 'its agent has only heard of it');
  turns.begun('a');
  assert.deepEqual(woken, ['d'], 'older than c');
  assert.deepEqual([d, c].map(turns.mayGoOn), [true, false]);
  turns.told('b', false);
  assert.deepEqual(woken, ['d', 'c'], 'nobody is there to hear of b');
  assert.equal(turns.isCalm('a'), false);
  turns.begun('c');
  turns.begun('d');
  assert.deepEqual(woken, ['d', 'c', 'a'], 'it is calm now');
  assert.equal(turns.isCalm(), true);
});

test('where it takes too long none of those that begin is held up any more', { timeout: 5000 }, async () => {
  const woken: string[] = [];
  const turns = turnsOf({ begin: 1, patience: 20, wake: (name) => woken.push(name) });
  for (const name of ['stuck', 'one']) turns.begins(name);
  assert.equal(turns.mayGoOn(captureOf('stuck')), true);
  assert.equal(turns.mayGoOn(captureOf('one')), false);
  await turns.calm();
  assert.deepEqual(woken, ['one']);
  assert.equal(turns.mayGoOn(captureOf('one')), true);
});
