// An agent that lies about bytes, paths and digests: each lie is refused, counted and on the chain, and the capture goes on.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { AgentCall } from '../../../protocol/index.ts';
import { agentBed, claimOf, recordOf, refusalsOn } from './agent-bed.ts';

const scenario = await agentBed();

const HONEST = Buffer.from('{"host":"node1"}\n');
const OTHER = Buffer.from('{"host":"nodeX"}\n');

/** Where an agent has nothing to write, or nobody has. */
const PATHS = [
  'custody/000000.dsse.json',
  'custody/000001.tsr',
  `custody/keys/${'0'.repeat(64)}.pem`,
  'manifest-sha256.txt',
  'bagit.txt',
  'data/00-meta/request.json',
  'data/00-meta/coverage.json',
  'data/00-meta/gaps.jsonl',
  'data/00-meta/footprint.json',
  'data/00-meta/host.json/x',
  'data/00-meta/anything.json',
  'data/95-kubernetes/pods.jsonl',
  'data/90-cloud/instance.json',
  'data/99-mine/x',
  'data/10-process',
  'data/10-process/',
  'data/10-process/../../custody/000000.dsse.json',
  'data/10-process/./x',
  'data//10-process/x',
  '../other/data/10-process/x',
  '/data/10-process/x',
  'data/10-process/%2e%2e%2fx',
  'data/10-process%2fx',
  'data\\10-process\\x',
  'data/10-process/x\0y',
  'data/10-process/x\ny',
  'data/10-process/naïve',
  `data/10-process/${'x'.repeat(201)}`,
  `data/10-process/${'x/'.repeat(9)}x`,
];

scenario('each lie is refused, counted and said on the chain, and the capture goes on', async (bed) => {
  const order = await bed.order('lies');
  const agent = await bed.speak(order);
  const before = await bed.metric('impound_agent_calls_refused_total');
  let lies = 0;
  const refused = async (code: string, ...calls: readonly AgentCall[]) => {
    for (const [index, result] of (await agent.calls(...calls)).entries()) {
      assert.equal(result.ok, false, `${JSON.stringify(calls[index]).slice(0, 300)} ${JSON.stringify(result)}`);
      assert.equal(result.code, code, JSON.stringify([calls[index], result]).slice(0, 500));
      lies++;
    }
  };
  const digest = { size: HONEST.length, sha256: claimOf('', HONEST).sha256 };
  await refused(
    'grant-refused',
    ...PATHS.flatMap((path) => [
      { kind: 'grant-object' as const, path, ...digest },
      { kind: 'begin-upload' as const, path },
      { kind: 'grant-part' as const, path, ...digest, upload: 'x', number: 1 },
      { kind: 'complete-upload' as const, path, upload: 'x', parts: [digest] },
      { kind: 'finished' as const, path, ...digest },
      { kind: 'finished-part' as const, path, ...digest, upload: 'x', number: 1 },
      { kind: 'record' as const, record: recordOf({ path, ...digest }, agent.session) },
    ]),
  );

  // bytes: what was granted is for these, and for no others
  const path = 'data/10-process/a.json';
  const claim = claimOf(path, HONEST);
  const [granted] = await agent.calls({ kind: 'grant-object', ...claim });
  const sent = await bed.put(granted?.value, OTHER);
  assert.ok(sent.status >= 400 && sent.status < 500, sent.text);
  const longer = Buffer.concat([HONEST, OTHER]);
  const headers = { ...granted?.value.headers, 'content-length': String(longer.length) };
  assert.ok((await bed.put({ ...granted?.value, headers }, longer)).status >= 400);
  await refused('grant-refused', { kind: 'grant-object', ...claimOf(path, OTHER) });
  await refused('object-missing', { kind: 'record', record: recordOf(claim, agent.session) });
  await agent.keep(path, HONEST);
  assert.ok((await bed.put(granted?.value, HONEST)).status >= 400, 'nothing is stored twice');
  await refused(
    'object-exists',
    { kind: 'finished', ...claimOf(path, OTHER) },
    { kind: 'finished', ...claim, size: claim.size + 1 },
  );
  await refused('grant-refused', { kind: 'grant-object', ...claimOf(path, OTHER) }, { kind: 'begin-upload', path });
  // what is on the chain already is not recorded as anything else
  for (const lie of [claimOf(path, OTHER), { ...claim, size: 1 }])
    for (const { ok } of await agent.calls({ kind: 'record', record: recordOf(lie, agent.session) })) {
      assert.equal(ok, false);
      lies++;
    }
  const never = claimOf('data/10-process/never.json', HONEST);
  await refused('object-missing', { kind: 'record', record: recordOf(never, agent.session) });
  await refused(
    'grant-refused',
    { kind: 'record', record: recordOf(claim, agent.session + 1) },
    { kind: 'record', record: recordOf(claim, agent.session, 'unannounced') },
    { kind: 'ended', end: endOf('unannounced', agent.session) },
    { kind: 'ended', end: endOf('host', agent.session + 1) },
    { kind: 'grant-object', ...claim, path: 'data/10-process/huge', size: 10 * 1024 ** 4 },
    { kind: 'grant-object', ...claim, path: 'data/10-process/large', size: 16 * 1024 ** 2 + 1 },
  );
  // a claim that is refused takes nothing
  await agent.keep('data/10-process/huge', HONEST);

  // uploads in parts
  const parts = 'data/60-file/parts.bin';
  const [begun] = await agent.calls({ kind: 'begin-upload', path: parts });
  const upload = String(begun?.value);
  const part = { path: parts, ...digest, upload };
  const other = { size: OTHER.length, sha256: claimOf('', OTHER).sha256 };
  await refused('object-missing', { kind: 'grant-part', ...part, number: 1, path: 'data/60-file/others.bin' });
  await refused('grant-refused', { kind: 'grant-part', ...part, number: 1, size: 10 * 1024 ** 4 });
  await refused('grant-refused', { kind: 'grant-part', ...part, upload: `${upload}x`, number: 1 });
  await refused('store-failed', { kind: 'complete-upload', path: parts, upload, parts: [digest] });
  const [first] = await agent.calls({ kind: 'grant-part', ...part, number: 1 });
  await refused('grant-refused', { kind: 'grant-part', ...part, ...other, number: 1 });
  assert.ok((await bed.put(first?.value, OTHER)).status >= 400);
  assert.equal((await bed.put(first?.value, HONEST)).status, 200);
  await refused(
    'store-failed',
    { kind: 'complete-upload', path: parts, upload, parts: [digest, digest] },
    { kind: 'complete-upload', path: parts, upload, parts: [other] },
  );
  const [completed] = await agent.calls({ kind: 'complete-upload', path: parts, upload, parts: [digest] });
  assert.ok(completed?.ok, completed?.message);
  const whole = { ...recordOf({ path: parts, ...digest }, agent.session), parts: [digest] };
  await refused(
    'grant-refused',
    { kind: 'record', record: { ...whole, parts: [digest, digest], size: 2 * digest.size } },
    { kind: 'record', record: { ...whole, sha256: other.sha256 } },
    { kind: 'record', record: recordOf({ path: parts, ...digest }, agent.session) },
  );
  const [recorded] = await agent.calls({ kind: 'record', record: whole });
  assert.ok(recorded?.ok, recorded?.message);
  await refused('grant-refused', { kind: 'begin-upload', path: parts });

  // what is no request at all
  const shapes: readonly unknown[] = [
    { kind: 'grant-part', ...part, number: 0 },
    { kind: 'grant-part', ...part, number: 10_001 },
    { kind: 'grant-object', ...claim, size: -1 },
    { kind: 'grant-object', ...claim, sha256: 'x' },
    { kind: 'grant-object', ...claim, path: 'x'.repeat(801) },
    { kind: 'complete-upload', path: parts, upload, parts: [] },
    { kind: 'ended', end: { ...endOf('host', 1), gaps: [{ ...gapOf(1), count: Number.MAX_SAFE_INTEGER }] } },
    { kind: 'run', command: 'sh' },
  ];
  for (const shape of shapes) {
    assert.equal((await agent.raw([shape])).status, 400, JSON.stringify(shape).slice(0, 200));
    lies++;
  }
  for (const session of [agent.session + 1, 999]) {
    assert.equal((await agent.raw([], session)).status, 409);
    lies++;
  }
  assert.equal((await agent.raw([], 0)).status, 400);
  lies++;
  for (const uid of [randomUUID(), '..', '%2e%2e', 'x'.repeat(1000)])
    assert.equal((await bed.ask(`/agent/v1/captures/${uid}/calls`, { session: 1, calls: [] })).status, 404, uid);

  await agent.keep('data/00-meta/host.json', HONEST);
  assert.equal((await agent.end()).status, 200);
  const capture = await bed.sealed('lies');
  const entries = await bed.chain(capture);
  const told = Object.values(refusalsOn(entries)).reduce((sum, count) => sum + count, 0);
  assert.equal(told, lies);
  assert.ok((await bed.metric('impound_agent_calls_refused_total')) - before >= lies);
  const listed: string[] = [];
  for await (const { path: at } of (await bed.store(capture)).list('data')) listed.push(at);
  const own = listed.filter((at) => !/^data\/(?:00-meta|95-kubernetes)/.test(at));
  assert.deepEqual(own.sort(), ['data/10-process/a.json', 'data/10-process/huge', parts]);
});

function endOf(collector: string, session: number) {
  return { collector, session, outcome: 'complete' as const, seconds: 1, gaps: [] };
}

function gapOf(session: number) {
  return { collector: 'host', session, reason: 'denied', count: 1, names: [] };
}
