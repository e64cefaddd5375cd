// An agent that asks without end: each limit holds, the controller stays small and quick, and the capture goes on.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentCall } from '../../../protocol/index.ts';
import { agentBed, type Bed, claimOf, recordOf, refusalsOn } from './agent-bed.ts';

const MOST_ARTEFACTS = 40;
const MOST_BYTES = 64 * 1024 * 1024;
/** What the controller may hold more than before, of all that this file does to it. */
const MEMORY_BYTES = 300 * 1024 * 1024;

const scenario = await agentBed({
  config: (file) => ({ ...file, agents: { maxArtefacts: MOST_ARTEFACTS, maxBytes: MOST_BYTES } }),
});

const BYTES = Buffer.from('{}\n');
const { sha256 } = claimOf('', BYTES);
const digestOf = (index: number): string => index.toString(16).padStart(64, '0');

const memory = ({ metric }: Bed): Promise<number> => metric('impound_process_resident_memory_bytes');
let before = 0;

scenario('artefacts, bytes, uploads, parts and collectors’ ends have an end', async (bed) => {
  before = await memory(bed);
  const agent = await bed.speak(await bed.order('endless'));
  const count = async (calls: readonly AgentCall[]): Promise<number> =>
    (await agent.calls(...calls)).filter(({ ok }) => ok).length;
  await agent.keep('data/00-meta/host.json', BYTES);
  const paths = Array.from({ length: 200 }, (_, index) => `data/60-file/${index}`);
  // uploads that are open at once; the same one again is the same
  const begun = await agent.calls(...paths.slice(0, 100).map((path) => ({ kind: 'begin-upload' as const, path })));
  const opened = begun.filter(({ ok }) => ok).length;
  assert.equal(opened, MOST_ARTEFACTS - 1);
  const [again] = await agent.calls({ kind: 'begin-upload', path: 'data/60-file/0' });
  assert.equal(again?.value, begun[0]?.value);
  // parts without end, of one upload, each of other bytes
  const upload = String(begun[0]?.value);
  const part = (number: number, size: number, digest: string): AgentCall => ({
    ...{ kind: 'grant-part', path: 'data/60-file/0', upload },
    ...{ number, size, sha256: digest },
  });
  const numbers = Array.from({ length: 256 }, (_, index) => index + 1);
  assert.equal(await count(numbers.map((number) => part(1, 0, digestOf(number)))), 1);
  assert.equal(await count(numbers.map((number) => part(number + 1, 1024 * 1024, sha256))), 63);
  assert.equal(await count(paths.map((path) => ({ kind: 'grant-object', path: `${path}.x`, size: 1, sha256 }))), 0);
  const end = { session: agent.session, outcome: 'partial' as const, seconds: 1 };
  const gap = { collector: 'host', session: agent.session, reason: 'denied' as const, count: 1_000_000_000 };
  const names = Array.from({ length: 20 }, () => '\u0001'.repeat(50));
  const gaps = Array.from({ length: 280 }, (_, index) => ({ ...gap, detail: `${index}`, names }));
  const ends = (collector: string): AgentCall => ({ kind: 'ended', end: { ...end, collector, gaps } });
  // all at once: what is said of them must fit into entries
  const told = await Promise.all(['host', 'processes', 'shared'].map((collector) => agent.raw([ends(collector)])));
  assert.deepEqual(
    told.map(({ status }) => status),
    [200, 200, 200],
  );
  await agent.calls(ends('host'));
  // a later session has the uploads to itself
  const later = await bed.speak({ uid: agent.uid });
  assert.equal(later.session, 2);
  await later.keep('data/00-meta/host.2.json', BYTES);
  await later.end();
  const capture = await bed.sealed('endless');
  const gapCount = capture.status?.gaps ?? 0;
  assert.ok(gapCount >= 3 * 280 * 1_000_000_000 && gapCount < 3 * 281 * 1_000_000_000, String(gapCount));
  assert.ok((refusalsOn(await bed.chain(capture))['grant-refused'] ?? 0) > 500);
});

scenario('the largest requests fit into the chain', async (bed) => {
  const agent = await bed.speak(await bed.order('large'));
  const paths = Array.from({ length: 30 }, (_, index) => `data/60-file/${`${'x'.repeat(98)}/`.repeat(7)}${index}`);
  for (const path of paths) {
    const [granted] = await agent.calls({ kind: 'grant-object', ...claimOf(path, BYTES) });
    await bed.put(granted?.value, BYTES);
  }
  const words = { source: '\u0001'.repeat(1024), truncated: '\u0002'.repeat(1024) };
  const records = paths.map((path) => ({
    kind: 'record' as const,
    record: { ...recordOf(claimOf(path, BYTES), agent.session), ...words },
  }));
  const samples = Array.from({ length: 240 }, (_, index) => ({
    kind: 'clock' as const,
    sample: { phase: '\u0001'.repeat(300), utc: '\u0001'.repeat(1000), monotonicSeconds: index },
  }));
  const answers = await Promise.all([
    agent.raw(records),
    ...Array.from({ length: 10 }, (_, turn) =>
      agent.raw(
        samples.map((call) => ({
          ...call,
          sample: { ...call.sample, monotonicSeconds: turn + call.sample.monotonicSeconds / 1000 },
        })),
      ),
    ),
  ]);
  for (const { status, text } of answers) assert.equal(status, 200, text.slice(0, 300));
  const results = answers.slice(1).flatMap(({ json }) => json.results as { readonly ok: boolean }[]);
  assert.equal(results.filter(({ ok }) => ok).length, 1000);
  await agent.end();
  await bed.sealed('large');
});

scenario('sessions have an end', async (bed) => {
  const order = await bed.order('sessions');
  for (let session = 1; session <= 20; session++) assert.equal((await bed.speak(order)).session, session);
  const last = { nonce: 'f'.repeat(32), software: 'x', collectors: ['host'] };
  const refused = await bed.ask(`/agent/v1/captures/${order.uid}/session`, last);
  assert.equal(refused.status, 409, refused.text);
  await bed.impound.patch('sessions', { cancel: true });
  await bed.impound.untilPhase('sessions', 60, 'Cancelled');
});

scenario('bodies are bounded in size, depth, number and time', async (bed) => {
  const agent = await bed.speak(await bed.order('bodies'));
  const here = `/agent/v1/captures/${agent.uid}`;
  const beat: AgentCall = { kind: 'finished', ...claimOf('data/10-process/x', BYTES) };
  assert.equal((await agent.raw(Array.from({ length: 257 }, () => beat))).status, 400);
  const deep = '['.repeat(500_000) + ']'.repeat(500_000);
  assert.equal((await bed.ask(`${here}/calls`, `{"session":1,"calls":${deep}}`)).status, 400);
  assert.equal(
    (await bed.ask(`${here}/calls`, `{"session":1,"calls":[],"x":"${'x'.repeat(3 * 1024 ** 2)}"}`)).status,
    413,
  );
  assert.equal((await bed.ask(`${here}/session`, `{"x":"${'x'.repeat(100_000)}"}`)).status, 413);
  assert.equal((await bed.ask('/agent/v1/poll', `{"x":"${'x'.repeat(100_000)}"}`)).status, 413);
  assert.equal((await bed.ask(`${here}/end`, Buffer.alloc(9 * 1024 ** 2, 32))).status, 413);
  for (const text of ['', 'null', '[]', '{', '{"session":1}', '{"__proto__":{"calls":[]},"session":1}'])
    assert.equal((await bed.ask(`${here}/calls`, text)).status, 400, text);
  assert.equal((await bed.ask(`${here}/calls`, Buffer.from([0x22, 0xff, 0x22]))).status, 400);
  assert.equal((await bed.ask(`${here}/calls`, '{}', { headers: { 'content-type': 'text/plain' } })).status, 415);
  // a body that comes a byte at a time
  const slow = request(`${await bed.impound.reach('node2')}${here}/calls`, {
    ...{ method: 'POST', ca: await readFile(bed.impound.ca), servername: bed.impound.serverName },
    headers: {
      authorization: `Bearer ${await bed.token()}`,
      'content-type': 'application/json',
      'content-length': '1000000',
    },
  });
  slow.on('error', () => undefined); // it is ended from the other side
  const began = performance.now();
  const drip = setInterval(() => slow.write(' '), 500);
  const beats = setInterval(() => void agent.raw([]).catch(() => undefined), 5000);
  const [answer] = await once(slow, 'response');
  clearInterval(drip);
  clearInterval(beats);
  slow.destroy();
  assert.equal(answer.statusCode, 408);
  assert.ok(performance.now() - began < 20_000);
  // more requests at once than an agent needs
  const flood = await Promise.all(Array.from({ length: 60 }, () => agent.raw(Array.from({ length: 64 }, () => beat))));
  const statuses = Object.groupBy(flood, ({ status }) => status);
  assert.deepEqual(Object.keys(statuses), ['200', '429']);
  await agent.keep('data/00-meta/host.json', BYTES);
  await agent.end();
  const entries = await bed.chain(await bed.sealed('bodies'));
  const told = refusalsOn(entries);
  assert.ok((told['request-invalid'] ?? 0) >= 9 && (told['too-large'] ?? 0) >= 3, JSON.stringify(told));
  const notes = entries.filter(({ statement }) => statement.predicate.details.reason === 'agent-refused');
  assert.ok(notes.length <= 8, `${notes.length} notes`);
});

scenario('after all of that the controller is as small as it should be', async (bed) => {
  await sleep(1000);
  const more = (await memory(bed)) - before;
  console.log({ before, more, heap: await bed.metric('impound_nodejs_heap_size_used_bytes') });
  assert.ok(more < MEMORY_BYTES, `${more} bytes more`);
});
