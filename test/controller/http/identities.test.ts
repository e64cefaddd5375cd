// Tokens of every kind before a real API server: whose are believed, for how long, and whose are refused and counted.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileBed } from '../../helpers/file-bed.ts';
import { CLUSTER_COMPONENTS } from '../../testbed/cluster.ts';
import { AUDIENCE, asking, claimsIn, NAMESPACE, refusalOf, startIdentityBed, tokenSignedBy } from './identity-bed.ts';

const scenario = await fileBed(CLUSTER_COMPONENTS, startIdentityBed);

scenario('an agent is who its token says: account, pod and node', async (bed) => {
  const pod = await bed.agentPod('agent');
  const token = await bed.agentToken('agent');
  const who = asking(bed);
  const nodeUid = await bed.cluster.kubectl('get', 'node', 'node1', '-o', 'jsonpath={.metadata.uid}');
  assert.deepEqual(await who.agent(token), {
    ...{ username: `system:serviceaccount:${NAMESPACE}:impound-agent`, pod: 'agent', podUid: pod.uid },
    ...{ node: 'node1', nodeUid },
  });
  assert.deepEqual(who.refusals, []);
});

scenario('one token is one review a minute, however often and however many at once it comes', async (bed) => {
  const token = await bed.agentToken('agent');
  const who = asking(bed);
  await Promise.all(Array.from({ length: 50 }, () => who.agent(token)));
  await who.agent(token);
  assert.equal(who.reviews(), 1);
  who.pass(59);
  await who.agent(token);
  assert.equal(who.reviews(), 1);
  who.pass(2);
  await who.agent(token);
  assert.equal(who.reviews(), 2);
});

scenario(
  'a forged, an expired, another audience’s and another account’s token are refused and counted',
  async (bed) => {
    const good = await bed.agentToken('agent');
    const claims = claimsIn(good);
    const now = Math.floor(Date.now() / 1000);
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const forged = tokenSignedBy(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), claims);
    const expired = await bed.signed({ ...claims, nbf: now - 1000, iat: now - 1000, exp: now - 400 });
    const same = await bed.signed(claims);
    const other = await bed.cluster.token(`${NAMESPACE}/impound-agent`, { audience: 'another', pod: 'agent' });
    const servers = await bed.cluster.token(`${NAMESPACE}/impound-agent`);
    const unbound = await bed.cluster.token(`${NAMESPACE}/impound-agent`, { audience: AUDIENCE });
    const controller = await bed.cluster.token(`${NAMESPACE}/impound-controller`, { audience: AUDIENCE });
    const namesake = await bed
      .personToken('impound-agent')
      .then(() => bed.cluster.token('default/impound-agent', { audience: AUDIENCE }));
    const cases: readonly [string, string, string][] = [
      [forged, '401 unauthenticated', 'unauthenticated'],
      [`${good.slice(0, -8)}AAAAAAAA`, '401 unauthenticated', 'unauthenticated'],
      [expired, '401 unauthenticated', 'expired'],
      [other, '401 unauthenticated', 'audience'],
      [servers, '401 unauthenticated', 'audience'],
      [controller, '403 forbidden', 'username'],
      [namesake, '403 forbidden', 'username'],
      [unbound, '403 forbidden', 'unbound'],
    ];
    const who = asking(bed);
    assert.equal((await who.agent(same)).pod, 'agent', 'what this test signs is what the API server signs');
    for (const [token, refusal] of cases) assert.equal(await refusalOf(who.agent(token)), refusal);
    assert.deepEqual(
      who.refusals,
      cases.map(([, , reason]) => reason),
    );
    // refused again without a question, for a while
    const asked = who.reviews();
    for (const [token, refusal] of cases) assert.equal(await refusalOf(who.agent(token)), refusal);
    assert.equal(who.reviews(), asked);
  },
);

scenario('what is no token is refused without a question', async (bed) => {
  const who = asking(bed);
  const forms = ['', 'x', 'a.b', 'a.b.', 'a.b.c.d', `a.${'A'.repeat(13_000)}.c`, 'a.b c.d', 'a.\n.c', 'Ä.b.c'];
  assert.equal(await refusalOf(who.agent(undefined)), '401 unauthenticated');
  for (const form of forms) assert.equal(await refusalOf(who.agent(form)), '401 unauthenticated');
  for (const form of ['', 'x'.repeat(13_000), 'Ä'])
    assert.equal(await refusalOf(who.person(form)), '401 unauthenticated');
  assert.equal(who.reviews(), 0);
  assert.deepEqual(who.refusals.slice(0, 2), ['missing', 'malformed']);
});

scenario('no token is believed past its own end', async (bed) => {
  const claims = claimsIn(await bed.agentToken('agent'));
  const now = Math.floor(Date.now() / 1000);
  const brief = await bed.signed({ ...claims, exp: now + 20 });
  const who = asking(bed);
  await who.agent(brief);
  who.pass(15);
  await who.agent(brief);
  assert.equal(who.reviews(), 1);
  who.pass(6);
  // the API server's clock is not moved, and it still takes it: what matters here is that it was asked
  await who.agent(brief);
  assert.equal(who.reviews(), 2);
});

scenario('the token of a pod that is gone, or there again under its name, is refused', async (bed) => {
  await bed.agentPod('leaving');
  const token = await bed.agentToken('leaving');
  const who = asking(bed);
  await who.agent(token);
  await bed.cluster.kubectl('delete', 'pod', '-n', NAMESPACE, 'leaving', '--force', '--wait');
  // the review is remembered, here and by the API server: the pod is looked at all the same
  who.pass(4);
  assert.equal(await refusalOf(who.agent(token)), '403 forbidden');
  await bed.agentPod('leaving');
  const fresh = asking(bed);
  const refusal = await refusalOf(fresh.agent(token));
  assert.match(refusal, /^40[13] /);
  assert.equal(who.refusals[0], 'pod-gone');
  assert.ok(['pod-other', 'unauthenticated'].includes(fresh.refusals[0] ?? ''), fresh.refusals.join());
});

scenario('the token of a node that is gone, or another now, is refused', async (bed) => {
  const token = await bed.agentToken('agent');
  const gone = asking(bed, { nodeUid: () => undefined });
  assert.equal(await refusalOf(gone.agent(token)), '403 forbidden');
  const replaced = asking(bed, { nodeUid: () => 'another-uid' });
  assert.equal(await refusalOf(replaced.agent(token)), '403 forbidden');
  const other = asking(bed, { podUid: async () => 'another-uid' });
  assert.equal(await refusalOf(other.agent(token)), '403 forbidden');
  assert.deepEqual(
    [...gone.refusals, ...replaced.refusals, ...other.refusals],
    ['node-gone', 'node-other', 'pod-other'],
  );
});

scenario('a person is who the API server knows, and may what their roles allow', async (bed) => {
  const who = asking(bed);
  const [analyst, auditor, nobody] = await Promise.all([
    bed.personToken('anna', 'impound-analyst').then(who.person),
    bed.personToken('audrey', 'impound-auditor').then(who.person),
    bed.personToken('nobody').then(who.person),
  ]);
  assert.equal(analyst.username, 'system:serviceaccount:default:anna');
  assert.ok(analyst.groups.includes('system:authenticated') && analyst.uid !== '');
  const rights = async (person: typeof analyst) => [
    await who.may(person, 'list', undefined, undefined),
    await who.may(person, 'get', undefined, 'one'),
    await who.may(person, 'get', 'bundle', 'one'),
    await who.may(person, 'update', 'release', 'one'),
  ];
  assert.deepEqual(await rights(analyst), [true, true, true, false]);
  assert.deepEqual(await rights(auditor), [true, true, false, false]);
  assert.deepEqual(await rights(nobody), [false, false, false, false]);
  const asked = who.reviews();
  await rights(analyst);
  assert.equal(who.reviews(), asked);
  // an agent's token is nobody's here
  assert.equal(await refusalOf(who.person(await bed.agentToken('agent'))), '401 unauthenticated');
});

scenario('a flood of forged tokens does not keep known agents out, nor people', async (bed) => {
  const who = asking(bed);
  const token = await bed.agentToken('agent');
  const person = await bed.personToken('paula');
  const claims = claimsIn(token);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  await who.agent(token);
  who.pass(61);
  const flood = Array.from({ length: 200 }, (_, jti) => refusalOf(who.agent(tokenSignedBy(key, { ...claims, jti }))));
  assert.equal((await who.agent(token)).pod, 'agent');
  assert.equal((await who.person(person)).username, 'system:serviceaccount:default:paula');
  const told = await Promise.all(flood);
  const counts = Object.groupBy(told, (one) => one);
  assert.equal(counts['401 unauthenticated']?.length, 16);
  assert.equal(counts['429 too-many']?.length, 184);
});

scenario(
  'while the API server is silent, agents that are known go on, and all others are told within seconds',
  async (bed) => {
    const token = await bed.agentToken('agent');
    const person = await bed.personToken('pia', 'impound-auditor');
    const unknown = await bed.cluster.token(`${NAMESPACE}/impound-agent`, { audience: AUDIENCE, pod: 'agent' });
    const who = asking(bed);
    await who.agent(token);
    const pia = await who.person(person);
    assert.equal(await who.may(pia, 'list', undefined, undefined), true);
    const timed = async (work: Promise<unknown>): Promise<[string, number]> => {
      const began = performance.now();
      const told = await refusalOf(work);
      return [told.startsWith('nothing was refused') ? 'taken' : told, performance.now() - began];
    };
    bed.cluster.apiServer.pause();
    try {
      // remembered for its minute: nothing is asked, but for where its pod is
      assert.equal((await who.person(person)).username, pia.username);
      who.pass(61);
      const [first, second, third] = await Promise.all([
        timed(who.agent(token)),
        timed(who.agent(unknown)),
        timed(who.person(person)),
      ]);
      console.log({ known: first, unknown: second, person: third });
      assert.deepEqual([first[0], second[0], third[0]], ['taken', '503 unavailable', '503 unavailable']);
      assert.ok(first[1] < 2500 && second[1] < 6000 && third[1] < 6000);
      // once it is known to be silent, a known agent does not wait
      const [again, took] = await timed(who.agent(token));
      assert.equal(again, 'taken');
      assert.ok(took < 100, String(took));
      const [right] = await timed(who.may(pia, 'list', undefined, undefined));
      assert.equal(right, '503 unavailable');
      who.pass(301);
      assert.deepEqual((await timed(who.agent(token)))[0], '503 unavailable');
      assert.ok(who.refusals.every((reason) => reason === 'api-silent'));
    } finally {
      bed.cluster.apiServer.resume();
    }
    assert.equal((await who.agent(token)).pod, 'agent');
  },
);

scenario('a denial is no silence: an agent that was known is refused at once', async (bed) => {
  await bed.agentPod('dropped');
  const token = await bed.agentToken('dropped');
  const who = asking(bed, { podUid: () => claimsPod(token), nodeUid: () => claimsNode(token) });
  await who.agent(token);
  await bed.cluster.kubectl('delete', 'pod', '-n', NAMESPACE, 'dropped', '--force', '--wait');
  // the API server keeps what it found of a token for ten seconds
  for (const end = Date.now() + 20_000; ; ) {
    await sleep(500);
    who.pass(61);
    const told = await refusalOf(who.agent(token));
    if (told === '401 unauthenticated') break;
    assert.ok(Date.now() < end && told.startsWith('nothing was refused'), told);
  }
  assert.deepEqual(who.refusals, ['unauthenticated']);
});

function claimsPod(token: string): string {
  return (claimsIn(token)['kubernetes.io'] as { readonly pod: { readonly uid: string } }).pod.uid;
}

function claimsNode(token: string): string {
  return (claimsIn(token)['kubernetes.io'] as { readonly node: { readonly uid: string } }).node.uid;
}
