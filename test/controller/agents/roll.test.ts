// Whom the controller has heard: the last word of each node, forgotten with the lead.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentRoll } from '../../../controller/agents/roll.ts';
import type { AgentIdentity } from '../../../controller/http/identity.ts';

const identity = (node: string, pod = `agent-${node}`): AgentIdentity => ({
  ...{ node, pod, username: 'system:serviceaccount:impound-system:impound-agent' },
  ...{ podUid: `${pod}-uid`, nodeUid: `${node}-uid` },
});
const ARRIVED = Date.parse('2026-11-21T10:00:00.000Z');

test('the last word of each node is kept, and another pod’s is not taken for it', () => {
  const roll = new AgentRoll();
  const polled = { software: 'impound 1', can: ['probe'], utc: '2026-11-21T09:59:58.500Z' };
  roll.polled(identity('node1'), polled, ARRIVED);
  roll.heard(identity('node1'));
  const { silence, ...known } = roll.of('node1') ?? assert.fail();
  assert.ok(silence < 1000);
  const about = { node: 'node1', software: 'impound 1', can: ['probe'], ahead: -1500 };
  assert.deepEqual(known, { ...about, pod: 'agent-node1' });
  roll.heard(identity('node1', 'newer'));
  const { silence: _, ...newer } = roll.of('node1') ?? assert.fail();
  assert.deepEqual(newer, { node: 'node1', pod: 'newer', software: undefined, can: [], ahead: undefined });
  roll.polled(identity('node2'), { software: 'x'.repeat(1000) }, ARRIVED);
  assert.equal(roll.of('node2')?.software?.length, 200);
  assert.deepEqual(
    roll.all().map(({ node }) => node),
    ['node1', 'node2'],
  );
});

test('a replica that comes to lead begins anew', () => {
  const roll = new AgentRoll();
  roll.heard(identity('node1'));
  roll.begin();
  assert.deepEqual(roll.all(), []);
  assert.ok(roll.age < 1000);
});
