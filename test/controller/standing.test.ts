// Two replicas: one leads, agents find it, the work goes on when it leaves in order; on a suspect node none leads or signs.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { begin, untilComplete } from '../helpers/captures.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { askReplica, leaderOf, untilLeads } from '../helpers/replicas.ts';
import { chainOf, notes } from '../helpers/sealed.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { IMPOUND_COMPONENTS, type Impound, startImpound } from '../testbed/impound.ts';

const REPLICAS = ['node2', 'node3'] as const;

/** So that a bundle that was taken over is sealed soon. */
const SHORT = { grantSeconds: 10 };

const scenario = await fileBed(IMPOUND_COMPONENTS, startBed);
const home = await fileTemporaryFolder();

async function startBed(): Promise<Impound> {
  const agents = ['node1', 'node2', 'node3'];
  return startImpound({ after }, { controllers: REPLICAS, agents, config: (file) => ({ ...file, agents: SHORT }) });
}

const other = (node: string): string => (node === 'node2' ? 'node3' : 'node2');

scenario('both answer, and the one that follows says where the other is', async (impound) => {
  const leader = await untilLeads(impound, ...REPLICAS);
  for (const node of REPLICAS) assert.equal((await askReplica(impound, node, '/readyz')).status, 200);
  await sleep(2500); // the follower looks at the lease every second
  const { token } = impound.agent('node1');
  const { status, body } = await askReplica(
    impound,
    other(leader),
    '/agent/v1/poll',
    await impound.cluster.run('node1', ['cat', token]),
  );
  const { address } = impound.cluster.nodes.find(({ name }) => name === leader) ?? {};
  assert.deepEqual([status, body.leader], [421, `https://${address}:8443`]);
});

scenario('a leader that is told to end hands over, and the capture goes on in its session', async (impound) => {
  await begin(impound, 'handed-over', { watchSeconds: 10 });
  const leader = await untilLeads(impound, ...REPLICAS);
  const began = performance.now();
  const ended = impound.controller(leader).kill('SIGTERM');
  await untilLeads(impound, other(leader));
  const seconds = (performance.now() - began) / 1000;
  assert.ok(seconds < 4, `handed over after ${seconds} s`);
  assert.equal(await ended, 0);
  await impound.controller(leader).start();
  const sealed = await untilComplete(impound, 'handed-over', home);
  assert.equal(sealed.status?.session, 1);
  const signers = (await chainOf(impound, sealed)).map(({ statement }) => statement.predicate.actor.name);
  for (const node of REPLICAS) assert.ok(signers.includes(`controller-${node}`), signers.join(' '));
});

scenario('the certificate is replaced under it, and its agent goes on', async (impound) => {
  await begin(impound, 'renewed', { watchSeconds: 10 });
  const addresses = impound.cluster.nodes.map(({ address }) => `IP:${address}`).join(',');
  const { serverName } = impound;
  await impound.cluster.certificate('controller', `/CN=${serverName}`, `DNS:${serverName},${addresses}`);
  const sealed = await untilComplete(impound, 'renewed', home);
  assert.equal(sealed.status?.session, 1);
});

scenario('the leader’s own node is captured by the other replica, and the chain says so', async (impound) => {
  const leader = await untilLeads(impound, ...REPLICAS);
  await impound.capture('own-node', { node: leader, profile: 'quick' });
  const sealed = await untilComplete(impound, 'own-node', home);
  const chain = await chainOf(impound, sealed);
  const [note] = notes(chain, 'replica-on-suspect');
  assert.equal(note?.replica, `controller-${leader}`);
  const signers = new Set(chain.map(({ statement }) => statement.predicate.actor.name));
  assert.ok(!signers.has(`controller-${leader}`), [...signers].join(' '));
  assert.ok(signers.has(`controller-${other(leader)}`));
  await impound.patch('own-node', { release: true });
});

scenario('the only replica on a suspect node signs nothing, and says what to do', async (impound) => {
  const leader = await untilLeads(impound, ...REPLICAS);
  await impound.controller(other(leader)).kill('SIGTERM');
  for (const name of ['alone', 'unwanted-alone']) await impound.capture(name, { node: leader, profile: 'quick' });
  const waiting = await impound.until('alone', 30, ({ status }) => status?.message !== undefined);
  assert.equal(waiting.status?.bundle, undefined);
  assert.match(waiting.status?.message ?? '', new RegExp(`controller-${leader} stands on node ${leader}.*kubectl`));
  assert.equal(await leaderOf(impound), undefined);

  await impound.patch('alone', { cancel: true });
  await impound.patch('unwanted-alone', { cancel: true });
  // nothing is to be signed any more: it leads again
  for (const name of ['alone', 'unwanted-alone']) await impound.untilPhase(name, 20, 'Cancelled');
  assert.equal(await leaderOf(impound), leader);

  await impound.capture('alone-again', { node: leader, profile: 'quick' });
  await impound.until('alone-again', 30, ({ status }) => status?.message !== undefined);
  await impound.controller(other(leader)).start();
  const sealed = await untilComplete(impound, 'alone-again', home);
  const signers = (await chainOf(impound, sealed)).map(({ statement }) => statement.predicate.actor.name);
  assert.ok(!signers.includes(`controller-${leader}`));
  await impound.patch('alone-again', { release: true });
  await impound.untilPhase('alone-again', 20, 'Released');
});
