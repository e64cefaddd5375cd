// The agent's calls as they are gathered, and how what leads to a node's first evidence goes before them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CallLane } from '../../../agent/remote/lane.ts';
import type { AgentCall, CallResult } from '../../../protocol/index.ts';

const SHA256 = 'a'.repeat(64);

function grant(path: string): AgentCall {
  return { kind: 'grant-object', path, size: 1, sha256: SHA256 };
}

function finished(path: string): AgentCall {
  return { kind: 'finished', path, size: 1, sha256: SHA256 };
}

/** Answers after a moment; a request is a list of "KIND PATH". */
function laneOf(requests: string[][], firstAlone: boolean): CallLane {
  const send = async (calls: readonly AgentCall[]): Promise<readonly CallResult[]> => {
    requests.push(calls.map((call) => `${call.kind} ${'path' in call ? call.path : ''}`));
    await sleep(20);
    return calls.map(() => ({ ok: true, value: null }));
  };
  return new CallLane({ send, requests: 4, milliseconds: 0, beside: 0, firstAlone });
}

test('the first evidence is asked for and reported before anything else is asked', async () => {
  const requests: string[][] = [];
  const lane = laneOf(requests, true);
  const first = lane.ask(grant('a'));
  const others = ['b', 'c'].map((path) => lane.ask(grant(path)));
  await first;
  await lane.ask(finished('a'));
  await Promise.all(others);
  assert.deepEqual(requests, [['grant-object a'], ['finished a'], ['grant-object b', 'grant-object c']]);
});

test('what takes its time to be stored holds nothing else up', { timeout: 5000 }, async () => {
  const requests: string[][] = [];
  const lane = laneOf(requests, true);
  await Promise.all(['a', 'b', 'c'].map((path) => lane.ask(grant(path))));
  assert.deepEqual(requests, [['grant-object a'], ['grant-object b', 'grant-object c']]);
});

test('where nothing goes alone, what is asked in one turn goes together', async () => {
  const requests: string[][] = [];
  const lane = laneOf(requests, false);
  await Promise.all(['a', 'b'].map((path) => lane.ask(grant(path))));
  assert.deepEqual(requests, [['grant-object a', 'grant-object b']]);
});

test('what is asked meanwhile waits for the answer, and no longer than a moment', async () => {
  const requests: string[][] = [];
  const slow = Promise.withResolvers<void>();
  const send = async (calls: readonly AgentCall[]): Promise<readonly CallResult[]> => {
    requests.push(calls.map((call) => ('path' in call ? call.path : '')));
    if (requests.length === 3) await slow.promise;
    return calls.map(() => ({ ok: true, value: null }));
  };
  const lane = new CallLane({ send, requests: 4, milliseconds: 0, beside: 50, firstAlone: false });
  const ask = (path: string): Promise<unknown> => lane.ask(grant(path));
  await ask('a');
  await ask('b');
  const waiting = ask('c');
  await sleep(0);
  await Promise.all(['d', 'e'].map(ask));
  assert.deepEqual(requests, [['a'], ['b'], ['c'], ['d', 'e']]);
  slow.resolve();
  await waiting;
});

test('beside one that is slow, others are asked one after the other, each as the last one is answered', {
  timeout: 10_000,
}, async () => {
  const requests: string[][] = [];
  const slow = Promise.withResolvers<void>();
  const send = async (calls: readonly AgentCall[]): Promise<readonly CallResult[]> => {
    const paths = calls.map((call) => ('path' in call ? call.path : ''));
    requests.push(paths);
    if (paths.includes('slow')) await slow.promise;
    return calls.map(() => ({ ok: true, value: null }));
  };
  const lane = new CallLane({ send, requests: 4, milliseconds: 0, beside: 300, firstAlone: false });
  const last = lane.ask(grant('slow'));
  await sleep(10);
  const begun = performance.now();
  for (let n = 0; n < 5; n++) await lane.ask(grant(`quick ${n}`));
  // one wait for all of them, not one for each
  assert.ok(performance.now() - begun < 1400, `${performance.now() - begun} ms`);
  slow.resolve();
  await last;
  assert.equal(requests.length, 6);
});
