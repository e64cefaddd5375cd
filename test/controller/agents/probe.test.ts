// A node's way to the store, tried by whoever may capture: an agent that knows probes, one that does not, one that lies.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { peopleOf } from '../../helpers/people.ts';
import { fileTemporaryFolder } from '../../helpers/temporary.ts';
import { type Answer, agentBed, type Bed } from './agent-bed.ts';

const scenario = await agentBed({ agents: ['node1', 'node3'] });
const folder = await fileTemporaryFolder();

const POLL = { versions: ['v1'], software: 'a test' };
const tokens = new Map<string, string>();

async function tokenOf({ impound: { cluster } }: Bed, name: string, ...roles: readonly string[]): Promise<string> {
  const known = tokens.get(name);
  if (known !== undefined) return known;
  await (await peopleOf(cluster, folder)).person(name, ...roles);
  const token = await cluster.token(name);
  tokens.set(name, token);
  return token;
}

const responder = (bed: Bed): Promise<string> => tokenOf(bed, 'rita', 'impound-responder');

async function tried(bed: Bed, node = 'node1'): Promise<Answer> {
  const answer = await bed.ask('/v1/check', { nodes: [node] }, { token: await responder(bed) });
  assert.equal(answer.status, 200, answer.text);
  return answer;
}

const agentOf = ({ json }: Answer, node = 'node1') =>
  json.agents.find((one: { readonly node: string }) => one.node === node);

/** Asks for a trial, and takes the probe that comes with the poll that waits; `act` says what becomes of it. */
async function withProbe(
  bed: Bed,
  // biome-ignore lint/suspicious/noExplicitAny: what the controller gave, as it came
  act: (probe: any) => Promise<void>,
): Promise<Answer> {
  const polled = bed.ask('/agent/v1/poll', { ...POLL, can: ['probe'] });
  const asked = tried(bed);
  const { json, text } = await polled;
  assert.ok(json.capture === null && json.probe !== undefined, text);
  await act(json.probe);
  return asked;
}

scenario('who may see asks what is known, who may capture has it tried', async (bed) => {
  const [auditor, nobody] = await Promise.all([tokenOf(bed, 'audrey', 'impound-auditor'), tokenOf(bed, 'nobody')]);
  const get = (token: string) => bed.ask('/v1/check', '', { method: 'GET', token });
  const known = await get(auditor);
  assert.equal(known.status, 200, known.text);
  assert.equal(known.json.replica.pod, 'controller-node2');
  assert.match(known.json.key.keyid, /^[0-9a-f]{64}$/);
  assert.deepEqual([known.json.key.signs, known.json.store], [undefined, { url: 's3://evidence/bundles' }]);
  for (const answer of [await get(nobody), await bed.ask('/v1/check', {}, { token: auditor })])
    assert.deepEqual([answer.status, answer.json.code], [403, 'forbidden'], answer.text);
  assert.equal((await get(await bed.token())).status, 401);
  const wrong = await bed.ask('/v1/check', { nodes: [], more: 1 }, { token: await responder(bed) });
  assert.deepEqual([wrong.status, wrong.json.code], [400, 'request-invalid']);
});

scenario('an agent that knows no probes is not given any', async (bed) => {
  const leaving = new AbortController();
  const polled = bed.ask('/agent/v1/poll', POLL, { signal: leaving.signal }).catch(() => undefined);
  const known = async () => bed.ask('/v1/check', '', { method: 'GET', token: await responder(bed) });
  while (agentOf(await known())?.state !== 'waiting') await sleep(50);
  const { json } = await tried(bed);
  assert.equal(json.key.signs, true);
  assert.equal(json.store.check.verdict, 'suitable');
  const agent = json.agents.find((one: { readonly node: string }) => one.node === 'node1');
  assert.deepEqual([agent.state, agent.store.outcome], ['waiting', 'unasked']);
  assert.match(agent.store.why, /of a version that cannot be asked/);
  leaving.abort();
  await polled;
});

scenario('what was stored is looked for in the store, and its clock is told', async (bed) => {
  let id = '';
  const utc = new Date(Date.now() + 60_000).toISOString();
  const left = await bed
    .ask('/agent/v1/poll', { ...POLL, utc }, { signal: AbortSignal.timeout(500) })
    .catch(() => undefined);
  assert.equal(left, undefined);
  const known = await bed.ask('/v1/check', '', { method: 'GET', token: await responder(bed) });
  const ahead = agentOf(known).aheadMilliseconds;
  assert.ok(ahead > 58_000 && ahead < 61_000, String(ahead));
  const answer = await withProbe(bed, async (probe) => {
    id = probe.id;
    const bytes = Buffer.from(probe.body);
    assert.ok(bytes.length <= 1024);
    assert.equal((await bed.put(probe, Buffer.from('x'.repeat(bytes.length)))).status, 400);
    assert.equal((await bed.put(probe, bytes)).status, 200);
    const report = (token: string, of = id, body: object = { milliseconds: 7 }) =>
      bed.ask(`/agent/v1/probes/${of}`, body, { token });
    assert.equal((await report(await bed.token('node3'))).status, 404);
    assert.equal((await report(await bed.token(), '0'.repeat(32))).status, 404);
    assert.equal((await report(await bed.token(), id, { milliseconds: -1 })).status, 400);
    assert.equal((await report(await bed.token())).status, 200);
  });
  assert.deepEqual(agentOf(answer).store, { outcome: 'stored', milliseconds: 7 });
  assert.equal((await bed.ask(`/agent/v1/probes/${id}`, { milliseconds: 7 })).status, 404, 'nobody waits any more');
  const { s3 } = bed.impound;
  const Prefix = `bundles/.impound-check/${id}/`;
  const { Contents = [] } = await s3.client.send(new ListObjectsV2Command({ Bucket: 'evidence', Prefix }));
  assert.deepEqual(
    Contents.map(({ Key }) => Key),
    [`${Prefix}data/00-meta/probe.txt`],
  );
});

scenario('what an agent says it stored and did not is said', async (bed) => {
  const lied = await withProbe(bed, async ({ id }) => {
    assert.equal((await bed.ask(`/agent/v1/probes/${id}`, { milliseconds: 1 })).status, 200);
  });
  assert.equal(agentOf(lied).store.code, 'object-missing');
  const failure = { code: 'store-unreachable', message: 'ECONNREFUSED' };
  const failed = await withProbe(bed, async ({ id }) => {
    assert.equal((await bed.ask(`/agent/v1/probes/${id}`, { milliseconds: 1, failure })).status, 200);
  });
  assert.deepEqual(agentOf(failed).store, { outcome: 'failed', milliseconds: 1, ...failure });
});

scenario('a capture goes before, and an agent that is at one is left alone', async (bed) => {
  const session = await bed.speak(await bed.order('busy'));
  const { store, state } = agentOf(await tried(bed));
  assert.deepEqual([state, store], ['capturing', { outcome: 'busy' }]);
  await session.end();
  await bed.sealed('busy');
});
