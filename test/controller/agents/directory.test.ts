// A store that is a directory: the URL of a grant leads to the controller, which takes these bytes and no others.
import assert from 'node:assert/strict';
import { fileTemporaryFolder } from '../../helpers/temporary.ts';
import { agentBed, claimOf, type Grant, recordOf } from './agent-bed.ts';

const scenario = await agentBed({ directory: await fileTemporaryFolder() });

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
