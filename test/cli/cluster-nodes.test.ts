// Why a node has no agent: what node and DaemonSet tell, without a cluster of every kind.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { virtualKind, whyUnplaced } from '../../cli/cluster/check/nodes.ts';
import type { DaemonSet } from '../../cli/cluster/diagnosis.ts';
import type { NodeObject } from '../../cli/cluster/node.ts';

const metadata = { name: 'web-3', uid: 'u', resourceVersion: '1' };
const node = (labels: Readonly<Record<string, string>>, ...taints: readonly string[]): NodeObject => ({
  metadata: { ...metadata, labels },
  spec: {
    taints: taints.map((taint) => {
      const [, key = '', value = '', effect = ''] = /^([^=:]+)(?:=([^:]*))?:(.*)$/.exec(taint) ?? [];
      return { key, value, effect };
    }),
  },
});
type Template = NonNullable<NonNullable<NonNullable<DaemonSet['spec']>['template']>['spec']>;
const set = (template: Template): DaemonSet => ({ metadata, spec: { template: { spec: template } } });

test('what runs no DaemonSet is told from a node', () => {
  assert.equal(virtualKind(node({ 'eks.amazonaws.com/compute-type': 'fargate' })), 'Fargate');
  assert.equal(virtualKind({ metadata: { ...metadata, name: 'fargate-ip-10-0-0-1' } }), 'Fargate');
  assert.equal(virtualKind(node({ type: 'virtual-kubelet' })), 'a virtual kubelet');
  assert.equal(virtualKind(node({ 'kubernetes.io/os': 'linux' })), undefined);
  assert.equal(virtualKind({ metadata }), undefined);
});

test('a DaemonSet that does not want the node, or does not tolerate it, is said', () => {
  const selecting = set({ nodeSelector: { pool: 'web', 'kubernetes.io/os': 'linux' }, tolerations: [] });
  assert.match(whyUnplaced(node({ 'kubernetes.io/os': 'linux' }), selecting), /nodeSelector wants pool=web, which/);
  const suspect = node({}, 'gpu=yes:NoSchedule', 'soft:PreferNoSchedule');
  const repelled = /does not tolerate its taint gpu:NoSchedule/;
  assert.match(whyUnplaced(suspect, set({ tolerations: [] })), repelled);
  assert.match(whyUnplaced(suspect, set({ tolerations: [{ key: 'gpu', value: 'no' }] })), repelled);
  assert.match(whyUnplaced(suspect, set({ tolerations: [{ operator: 'Exists', effect: 'NoExecute' }] })), repelled);
  for (const toleration of [
    { operator: 'Exists' },
    { operator: 'Exists', key: 'gpu' },
    { key: 'gpu', value: 'yes', effect: 'NoSchedule' },
  ])
    assert.equal(whyUnplaced(suspect, set({ tolerations: [toleration] })), 'the DaemonSet has placed none there');
});

test('what is not known is not made up', () => {
  const suspect = node({}, 'gpu=yes:NoSchedule');
  assert.equal(whyUnplaced(suspect, 'missing'), 'there is no DaemonSet impound-agent');
  assert.equal(whyUnplaced(suspect, undefined), 'the DaemonSet has placed none there');
});
