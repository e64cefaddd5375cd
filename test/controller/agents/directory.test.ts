// A store that is a directory: the URL of a grant leads to the controller, which takes these bytes and no others.
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { peopleOf } from '../../helpers/people.ts';
import { fileTemporaryFolder } from '../../helpers/temporary.ts';
import { agentBed, claimOf, type Grant, recordOf } from './agent-bed.ts';

const folder = await fileTemporaryFolder();
const scenario = await agentBed({ directory: folder });

const BYTES = Buffer.from('{"host":"node1"}\n');
const OTHER = Buffer.from('{"host":"nodeX"}\n');

scenario('the controller takes what it granted, once, and nothing else', async (bed) => {
  const agent = await bed.speak(await bed.order('directory'));
  const put = ({ url, headers }: Grant, bytes: Uint8Array, change = (query: string) => query) => {
    const { pathname, search } = new URL(url);
    return bed.ask(pathname + change(search), bytes, { method: 'PUT', token: null, headers });
  };
  const claim = claimOf('data/00-meta/host.json', BYTES);
  const [granted] = await agent.calls({ kind: 'grant-object', ...claim });
  const grant = granted?.value as Grant;
  assert.match(grant.url, new RegExp(`/agent/v1/bytes/${agent.uid}\\?grant=`));
  assert.equal((await put(grant, OTHER)).status, 400);
  const changed = await put(grant, BYTES, (query) => `${query.slice(0, -4)}AAAA`);
  assert.ok(changed.status >= 400 && changed.status < 500, changed.text);
  assert.equal((await put(grant, BYTES, () => '')).status, 404);
  const elsewhere = grant.url.replace(agent.uid, '00000000-0000-4000-8000-000000000000');
  assert.equal((await put({ ...grant, url: elsewhere }, BYTES)).status, 404);
  assert.equal((await put(grant, BYTES)).status, 200);
  // nobody knows whether the answer was heard: the same bytes again change nothing
  assert.ok([200, 412].includes((await put(grant, BYTES)).status));
  const told = await agent.calls({ kind: 'finished', ...claim });
  assert.ok(told[0]?.ok && told[0].value !== null, JSON.stringify(told));
  const recorded = await agent.calls({ kind: 'record', record: recordOf(claim, agent.session) });
  assert.ok(recorded[0]?.ok, JSON.stringify(recorded));
  const unused = claimOf('data/10-process/unused.json', BYTES);
  const [late] = await agent.calls({ kind: 'grant-object', ...unused });
  await agent.end();
  const capture = await bed.sealed('directory');
  assert.ok((await put(late?.value as Grant, BYTES)).status >= 400);
  await bed.verify(capture);
});

scenario('a probe of a directory goes through the controller, and leaves nothing there', async (bed) => {
  const { cluster } = bed.impound;
  await (await peopleOf(cluster, await fileTemporaryFolder())).person('rita', 'impound-responder');
  const polled = bed.ask('/agent/v1/poll', { versions: ['v1'], software: 'a test', can: ['probe'] });
  const tried = bed.ask('/v1/check', {}, { token: await cluster.token('rita') });
  const { probe } = (await polled).json;
  const { pathname, search } = new URL(probe.url);
  const put = (bytes: string) =>
    bed.ask(pathname + search, bytes, { method: 'PUT', token: null, headers: probe.headers });
  assert.match(pathname, new RegExp(`^/agent/v1/bytes/${probe.id}$`));
  assert.equal((await put(probe.body)).status, 200);
  assert.equal((await bed.ask(`/agent/v1/probes/${probe.id}`, { milliseconds: 3 })).status, 200);
  const { json } = await tried;
  assert.deepEqual(json.agents[0].store, { outcome: 'stored', milliseconds: 3 });
  assert.equal(json.store.check.verdict, 'suitable');
  assert.ok((await put(probe.body)).status >= 400);
  assert.deepEqual(
    (await readdir(folder, { recursive: true })).filter((name) => name.includes(probe.id)),
    [],
  );
});
