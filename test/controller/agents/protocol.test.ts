// The agent protocol as documented: versions, polls, what is said twice, and the session by hand of the documentation.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentCall } from '../../../protocol/index.ts';
import { type Answer, agentBed, type Bed, claimOf, recordOf, refusalsOn } from './agent-bed.ts';

const scenario = await agentBed();

const BYTES = Buffer.from('{}\n');
const ASK = { versions: ['v1'], software: 'a test' };

const timed = async (work: Promise<Answer>): Promise<[Answer, number]> => {
  const began = performance.now();
  const answer = await work;
  return [answer, performance.now() - began];
};

scenario('a version that is not spoken is refused with those that are', async ({ ask }) => {
  const answers = [
    await ask('/agent/v2/poll', ASK),
    await ask('/agent/v1/poll', { ...ASK, versions: ['v9'] }),
    await ask('/agent/v2/captures/x/calls', { session: 1, calls: [] }),
  ];
  for (const { status, json } of answers) {
    assert.equal(status, 404);
    assert.equal(json.code, 'protocol-unknown');
    assert.deepEqual(json.versions, ['v1']);
  }
  // one that is, among others
  const { json, status } = await ask(
    '/agent/v1/poll',
    { versions: ['v9', 'v1'], software: 'x', more: 1 },
    {
      signal: AbortSignal.timeout(40_000),
    },
  );
  assert.equal(status, 200);
  assert.deepEqual(json, { version: 'v1', capture: null });
});

scenario('a poll waits 25 s, one a node; a newer one ends it, and who is gone is forgotten', async ({ ask }) => {
  const first = timed(ask('/agent/v1/poll', ASK));
  await sleep(300);
  const gone = new AbortController();
  const second = ask('/agent/v1/poll', ASK, { signal: gone.signal }).catch(() => 'gone');
  const [ended, took] = await first;
  assert.equal(ended.status, 429, ended.text);
  assert.ok(took < 2000, String(took));
  await sleep(300);
  gone.abort();
  assert.equal(await second, 'gone');
  // far more than an agent may have at once: each that is gone has left its place
  for (let turn = 0; turn < 40; turn++) {
    const leaving = new AbortController();
    const asked = ask('/agent/v1/poll', ASK, { signal: leaving.signal }).catch((error: Error) => error.name);
    await sleep(30);
    leaving.abort();
    assert.equal(await asked, 'AbortError');
  }
  const [last, waited] = await timed(ask('/agent/v1/poll', ASK));
  assert.equal(last.status, 200, last.text);
  assert.ok(waited > 24_000 && waited < 28_000, String(waited));
});

scenario('a poll is answered at once when there is something to do', async (bed) => {
  const { ask, impound } = bed;
  const polled = ask('/agent/v1/poll', ASK).then((answer) => ({ answer, at: performance.now() }));
  await sleep(500);
  const asked = performance.now();
  await impound.capture('quick', { profile: 'quick' });
  const { answer, at } = await polled;
  assert.equal(answer.json.capture.name, 'quick');
  console.log(`order after ${Math.round(at - asked)} ms`);
  assert.ok(at - asked < 3000);
  // and again, as long as nobody has ended it
  const [again, took] = await timed(ask('/agent/v1/poll', ASK));
  assert.equal(again.json.capture.uid, answer.json.capture.uid);
  assert.ok(took < 500);
  await (await bed.speak(answer.json.capture)).end();
  await bed.sealed('quick');
});

scenario('whatever is said twice is there once', async (bed) => {
  const { ask } = bed;
  const { uid } = await bed.order('twice');
  const request = { nonce: randomBytes(16).toString('hex'), software: 'a test', collectors: ['host'] };
  const sessions = await Promise.all([1, 2, 3].map(() => ask(`/agent/v1/captures/${uid}/session`, request)));
  assert.deepEqual(
    sessions.map(({ json }) => json),
    [{ session: 1 }, { session: 1 }, { session: 1 }],
  );
  const twice = async (...calls: readonly AgentCall[]) => {
    const say = async () => {
      const { status, json, text } = await ask(`/agent/v1/captures/${uid}/calls`, { session: 1, calls });
      assert.equal(status, 200, text);
      for (const result of json.results) assert.ok(result.ok, JSON.stringify(result));
      return json.results.map(({ value }: { readonly value: unknown }) => value);
    };
    const [first, second] = await Promise.all([say(), say()]);
    return [first, second, await say()];
  };
  const claim = claimOf('data/00-meta/host.json', BYTES);
  const grants = await twice({ kind: 'grant-object', ...claim });
  assert.equal((await bed.put(grants[2][0], BYTES)).status, 200);
  const part = Buffer.alloc(1000, 1);
  const { size, sha256 } = claimOf('', part);
  const path = 'data/60-file/whole.bin';
  const begun = await twice({ kind: 'begin-upload', path });
  const upload = begun[0][0];
  assert.deepEqual(begun, [[upload], [upload], [upload]]);
  const granted = await twice({ kind: 'grant-part', path, upload, number: 1, size, sha256 });
  assert.equal((await bed.put(granted[0][0], part)).status, 200);
  assert.equal((await bed.put(granted[1][0], part)).status, 200);
  const seen = await twice({ kind: 'finished-part', path, upload, number: 1, size, sha256 });
  assert.deepEqual(seen[2], [true]);
  const parts = [{ size, sha256 }];
  const completed = await twice({ kind: 'complete-upload', path, upload, parts });
  assert.deepEqual(completed[0], completed[2]);
  const end = { collector: 'host', session: 1, outcome: 'timeout' as const, seconds: 1, gaps: [] };
  await twice(
    { kind: 'finished', ...claim },
    { kind: 'record', record: recordOf(claim, 1) },
    { kind: 'record', record: { ...recordOf({ path, size, sha256 }, 1), parts } },
    { kind: 'ended', end },
    { kind: 'clock', sample: { phase: 'begin', utc: '2026-01-01T00:00:00.000Z', monotonicSeconds: 1 } },
  );
  await twice({ kind: 'complete-upload', path, upload, parts }, { kind: 'finished', ...claim });
  const ending = { session: 1, outcome: 'complete', gaps: [], footprint: [] };
  const ends = await Promise.all([1, 2].map(() => ask(`/agent/v1/captures/${uid}/end`, ending)));
  assert.deepEqual(
    ends.map(({ status }) => status),
    [200, 200],
  );
  const capture = await bed.sealed('twice');
  const collected = capture.status?.conditions?.find(({ type }) => type === 'Collected');
  assert.deepEqual([collected?.status, collected?.reason], ['True', 'Incomplete']);
  assert.match(collected?.message ?? '', /, but host \(timeout\)$/);
  assert.ok([404, 409].includes((await ask(`/agent/v1/captures/${uid}/end`, ending)).status));
  const entries = await bed.chain(capture);
  assert.deepEqual(refusalsOn(entries), {});
  const own = entries.map(({ statement }) => statement.predicate).filter(({ actor }) => actor.kind === 'agent');
  assert.equal(own.filter(({ action }) => action === 'session').length, 1);
  const said = own.filter(({ action }) => action === 'collect').map(({ details }) => details);
  for (const [field, count] of [
    ['artefacts', 2],
    ['ended', 1],
    ['clock', 1],
  ] as const)
    assert.equal(said.flatMap((details) => details[field] ?? []).length, count, field);
});

scenario('the session by hand of the documentation works as it stands', async (bed: Bed) => {
  const { impound } = bed;
  const text = await readFile(join(import.meta.dirname, '../../../docs/agent-protocol.md'), 'utf8');
  const script = /## A whole session by hand[\s\S]*?```sh\n([\s\S]*?)```/.exec(text)?.[1];
  assert.ok(script);
  await impound.capture('by-hand', { profile: 'quick' });
  const folder = await mkdtemp(join(impound.cluster.directory, 'by-hand-'));
  const env = { TOKEN_FILE: impound.agent('node1').token, CA: impound.ca, API: `https://${impound.serverName}:8443` };
  await impound.cluster.run('node1', ['bash', '-euc', `cd '${folder}'\n${script}`], { env });
  const capture = await bed.sealed('by-hand');
  assert.equal(capture.status?.conditions?.find(({ type }) => type === 'Collected')?.reason, 'Complete');
});
