// Captures that take turns at one node's agent, run at two nodes at once, or run out of time.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { collected, untilComplete } from '../helpers/captures.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { chainOf, notes, verified } from '../helpers/sealed.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { IMPOUND_COMPONENTS, type Impound, startImpound } from '../testbed/impound.ts';

const scenario = await fileBed(IMPOUND_COMPONENTS, () => startImpound({ after }, { agents: ['node1', 'node3'] }));
const home = await fileTemporaryFolder();

const isCordoned = async ({ cluster }: Impound, node: string): Promise<boolean> => {
  const { spec } = (await cluster.api('GET', `/api/v1/nodes/${node}`)) as { spec: { unschedulable?: boolean } };
  return spec.unschedulable ?? false;
};
const release = async (impound: Impound, name: string): Promise<void> => {
  await impound.patch(name, { release: true });
  await impound.untilPhase(name, 20, 'Released');
};

for (const order of [
  ['first', 'second'],
  ['second', 'first'],
] as const)
  scenario(`two captures of a node take turns; released ${order[0]} one first, it is as it was`, async (impound) => {
    const names = order.map((name) => `${name}-${order[0]}`);
    const [one = '', two = ''] = names.toSorted();
    await impound.capture(one, { watchSeconds: 32, collectors: { only: ['clock', 'sockets', 'flows'] } });
    await impound.until(one, 20, ({ status }) => status?.session !== undefined);
    await impound.capture(two, { profile: 'quick' });
    const waiting = await impound.until(two, 20, (capture) => collected(capture) !== undefined);
    assert.equal(collected(waiting)?.reason, 'AwaitingAgent');
    await untilComplete(impound, one, home);
    const later = await untilComplete(impound, two, home);
    assert.deepEqual(notes(await chainOf(impound, later), 'agent-silent'), []);
    const [first = '', second = ''] = names;
    await release(impound, first);
    assert.equal(await isCordoned(impound, 'node1'), true);
    await release(impound, second);
    assert.equal(await isCordoned(impound, 'node1'), false);
  });

scenario('two of one node at the same moment both hold it; two nodes are captured at once', async (impound) => {
  await Promise.all([
    impound.capture('twin-a', { profile: 'quick' }),
    impound.capture('twin-b', { profile: 'quick' }),
    impound.capture('elsewhere', { node: 'node3', profile: 'quick' }),
  ]);
  for (const name of ['twin-a', 'twin-b', 'elsewhere']) {
    const { status } = await untilComplete(impound, name, home);
    const held = status?.conditions?.find(({ type }) => type === 'Protected');
    assert.equal(held?.reason, name === 'elsewhere' ? held?.reason : 'Held', JSON.stringify(held));
  }
  await Promise.all(['twin-a', 'twin-b', 'elsewhere'].map((name) => release(impound, name)));
  for (const node of ['node1', 'node3']) assert.equal(await isCordoned(impound, node), false);
});

scenario('when its deadline has passed, what there is is sealed, and that is said', async (impound) => {
  await impound.capture('late', { deadlineSeconds: 60, watchSeconds: 600, collectors: { skip: ['timeline', 'logs'] } });
  const sealed = await impound.untilPhase('late', 100, 'Sealed', 'Failed', 'Cancelled');
  assert.equal(sealed.status?.phase, 'Sealed');
  assert.equal(collected(sealed)?.reason, 'DeadlinePassed', JSON.stringify(sealed.status));
  assert.equal(collected(sealed)?.status, 'False');
  const { startedAt = '', sealedAt = '' } = sealed.status ?? {};
  const seconds = (Date.parse(sealedAt) - Date.parse(startedAt)) / 1000;
  assert.ok(seconds >= 60 && seconds < 90, `${seconds} s`);
  const { code, stdout } = await verified(impound, sealed, home);
  assert.equal(code, 0, stdout);
  await release(impound, 'late');
});
