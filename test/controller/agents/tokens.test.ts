// Who may act for a node: its own agent's pod, by its own token, and nobody else.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { claimsIn, tokenSignedBy } from '../http/identity-bed.ts';
import { agentBed, refusalsOn } from './agent-bed.ts';

const AUDIENCE = 'impound-controller';

const scenario = await agentBed({ agents: ['node1', 'node3'] });

scenario(
  'tokens that are nobody’s, or not an agent’s, are refused and counted',
  async ({ impound, ask, token, metric }) => {
    const { cluster, namespace } = impound;
    const good = await token();
    const claims = claimsIn(good);
    const now = Math.floor(Date.now() / 1000);
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const forged = tokenSignedBy(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), claims);
    const key = await readFile(join(dirname(cluster.admin.key), 'sa.key'));
    const expired = tokenSignedBy(key, { ...claims, nbf: now - 1000, iat: now - 1000, exp: now - 400 });
    const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${good.split('.')[1]}.AA`;
    const cases: readonly [string | null, number, string][] = [
      [null, 401, 'missing'],
      ['x', 401, 'unauthenticated'],
      [forged, 401, 'unauthenticated'],
      [unsigned, 401, 'unauthenticated'],
      [expired, 401, 'expired'],
      [await cluster.token(`${namespace}/impound-agent`), 401, 'audience'],
      [await cluster.token(`${namespace}/impound-agent`, { pod: 'agent-node1' }), 401, 'audience'],
      [await cluster.token(`${namespace}/impound-agent`, { audience: 'another', pod: 'agent-node1' }), 401, 'audience'],
      [await cluster.token(`${namespace}/impound-agent`, { audience: AUDIENCE }), 403, 'unbound'],
      [await cluster.token(`${namespace}/impound-controller`, { audience: AUDIENCE }), 403, 'username'],
    ];
    for (const [bearer, status, reason] of cases) {
      const before = await metric('impound_tokens_refused_total', `"${reason}"`);
      const all = await metric('impound_tokens_refused_total');
      for (const path of ['poll', 'captures/x/session', 'captures/x/calls', 'captures/x/end']) {
        const answer = await ask(`/agent/v1/${path}`, { versions: ['v1'], software: '' }, { token: bearer });
        assert.equal(answer.status, status, `${reason} ${path} ${answer.text}`);
        assert.ok(bearer === null || !answer.text.includes(bearer.slice(0, 40)));
      }
      assert.equal((await metric('impound_tokens_refused_total')) - all, 4, reason);
      if (bearer !== 'x')
        assert.equal((await metric('impound_tokens_refused_total', `"${reason}"`)) - before, 4, reason);
    }
  },
);

scenario('another node’s agent acts for its own node only', async (bed) => {
  const { ask, token } = bed;
  const order = await bed.order('another-node');
  const other = await token('node3');
  const agent = await bed.speak(order);
  const here = `/agent/v1/captures/${order.uid}`;
  const session = { nonce: '0'.repeat(32), software: 'x', collectors: ['host'] };
  const end = { session: 1, outcome: 'complete', gaps: [], footprint: [] };
  const asked: readonly [string, object][] = [
    [`${here}/session`, session],
    [`${here}/calls`, { session: 1, calls: [] }],
    [`${here}/end`, end],
  ];
  for (const [path, body] of asked) {
    const answer = await ask(path, body, { token: other });
    assert.equal(answer.status, 404, answer.text);
    // just as one that there is not
    const none = await ask(path.replace(order.uid, '00000000-0000-4000-8000-000000000000'), body, { token: other });
    assert.equal(none.text, answer.text);
  }
  const ended = new AbortController();
  const waiting = ask('/agent/v1/poll', { versions: ['v1'], software: 'x' }, { token: other, signal: ended.signal });
  const heard = await Promise.race([waiting.then(() => 'an order'), sleep(1000).then(() => 'nothing')]);
  assert.equal(heard, 'nothing');
  ended.abort();
  await waiting.catch(() => undefined);
  await agent.keep('data/00-meta/host.json', Buffer.from('{}\n'));
  await agent.end();
  assert.deepEqual(refusalsOn(await bed.chain(await bed.sealed('another-node'))), {});
});

scenario('a pod that came after takes the session over; the one before is heard no more', async (bed) => {
  const { impound, ask } = bed;
  const { cluster, namespace } = impound;
  const order = await bed.order('two-pods');
  const agent = await bed.speak(order);
  await agent.keep('data/00-meta/host.json', Buffer.from('{}\n'));
  await cluster.pod('later', 'exec sleep 1000000', {
    ...{ node: 'node1', namespace, serviceAccountName: 'impound-agent' },
    spec: { tolerations: [{ operator: 'Exists' }] }, // the node is cordoned
  });
  const later = await cluster.token(`${namespace}/impound-agent`, { audience: AUDIENCE, pod: 'later' });
  const here = `/agent/v1/captures/${order.uid}`;
  // the session is another pod's: its number and nonce are not enough
  assert.equal((await ask(`${here}/calls`, { session: 1, calls: [] }, { token: later })).status, 409);
  const request = { nonce: 'a'.repeat(32), software: 'x', collectors: ['host'] };
  const begun = await ask(`${here}/session`, request, { token: later });
  assert.deepEqual(begun.json, { session: 2 });
  assert.equal((await agent.raw([])).status, 409);
  const end = { session: 2, outcome: 'complete', gaps: [], footprint: [] };
  assert.equal((await ask(`${here}/end`, end, { token: later })).status, 200);
  const entries = await bed.chain(await bed.sealed('two-pods'));
  const pods = entries.flatMap(({ statement: { predicate } }) =>
    predicate.action === 'session' && predicate.actor.kind === 'agent' ? [predicate.actor.pod] : [],
  );
  assert.deepEqual(pods, ['agent-node1', 'later']);
  assert.deepEqual(refusalsOn(entries), { conflict: 2 });
});

scenario('the token of a pod that is gone is refused, in the middle of its session', async (bed) => {
  const { impound, ask } = bed;
  const order = await bed.order('gone');
  const agent = await bed.speak(order);
  await impound.cluster.kubectl('delete', 'pod', '-n', impound.namespace, 'agent-node1', '--force', '--wait');
  let answer = await agent.raw([]);
  for (const end = Date.now() + 10_000; answer.status === 200 && Date.now() < end; answer = await agent.raw([]))
    await sleep(200);
  assert.ok([401, 403].includes(answer.status), answer.text);
  assert.ok([401, 403].includes((await ask('/agent/v1/poll', { versions: ['v1'], software: 'x' })).status));
  assert.ok((await bed.metric('impound_tokens_refused_total', '"pod-gone"')) > 0 || answer.status === 401);
  await impound.patch('gone', { cancel: true });
  const capture = await impound.untilPhase('gone', 60, 'Cancelled', 'Failed');
  assert.equal(capture.status?.phase, 'Cancelled');
  await bed.verify(capture);
});
