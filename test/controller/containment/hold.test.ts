// A node of a real cluster is held and cordoned by the controller's own rights, and given back as it was.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyHold, type HoldRequest, verifyHold } from '../../../controller/containment/hold.ts';
import { ANNOTATIONS, HOLDS, stateOf, TAINT } from '../../../controller/containment/marks.ts';
import { NODES } from '../../../controller/containment/node.ts';
import { releaseHold } from '../../../controller/containment/release.ts';
import type { NodeCapture } from '../../../protocol/index.ts';
import { fileBed } from '../../helpers/file-bed.ts';
import { CLUSTER_COMPONENTS } from '../../testbed/cluster.ts';
import { type ControllerBed, captureOf, nodeOf, recorded, startControllerBed } from './bed.ts';

const scenario = await fileBed(CLUSTER_COMPONENTS, () => startControllerBed(3));

const AS_BEFORE = {
  unschedulable: false,
  taint: null,
  annotations: Object.fromEntries(ANNOTATIONS.map((name) => [name, null])),
};
const held = (name: string): object => ({
  unschedulable: true,
  taint: name,
  annotations: Object.fromEntries(ANNOTATIONS.map((annotation) => [annotation, 'true'])),
});

async function requested(on: ControllerBed, name: string, spec: object = {}): Promise<HoldRequest> {
  return { ...(await recorded(on, captureOf(name, 'node1', spec))), captures: [] };
}

const released = (capture: NodeCapture): NodeCapture => ({
  ...capture,
  status: { ...capture.status, phase: 'Released' },
});

/** What of the node is neither ours nor changing by itself. */
async function others({ admin }: ControllerBed): Promise<object> {
  const { metadata, spec } = await nodeOf(admin, 'node1');
  const names: readonly string[] = ANNOTATIONS;
  const annotations = Object.entries(metadata.annotations ?? {}).filter(([name]) => !names.includes(name));
  const taints = (spec.taints ?? []).filter(({ key }) => ![TAINT, 'node.kubernetes.io/unschedulable'].includes(key));
  const { unschedulable: _, taints: __, ...rest } = spec;
  return { labels: metadata.labels, annotations, taints, rest };
}

scenario('a node is held and cordoned while it lasts, and as it was after', async (on) => {
  const { cluster, controller, admin } = on;
  const before = await others(on);
  const request = await requested(on, 'first');
  assert.deepEqual(stateOf(await nodeOf(admin, 'node1')), AS_BEFORE);
  const { prior } = request;
  assert.deepEqual(
    prior.annotations,
    ANNOTATIONS.map((name) => ({ name })),
  );
  const applied = await applyHold(controller, request);
  const uid = (await nodeOf(admin, 'node1')).metadata.uid;
  assert.deepEqual(applied, {
    ...{ node: 'node1', nodeUid: uid, changed: true },
    ...{ before: AS_BEFORE, after: held('first'), refused: [] },
  });
  assert.deepEqual(await others(on), before);
  const node = await nodeOf(admin, 'node1');
  assert.deepEqual(
    node.spec.taints?.find(({ key }) => key === TAINT),
    {
      ...{ key: TAINT, value: 'first', effect: 'NoSchedule' },
    },
  );
  assert.deepEqual(await verifyHold(controller, request), {
    ...{ node: 'node1', nodeUid: uid, stands: true, found: held('first'), wrong: [], refused: [] },
  });
  const waiting = cluster.pod('late', 'exec sleep 1000000', { node: 'node1' });
  await sleep(1500);
  const phase = await cluster.kubectl('get', 'pod', 'late', '-o', 'jsonpath={.status.phase} {.spec.nodeName}');
  assert.equal(phase.trim(), 'Pending');
  const again = await applyHold(controller, request);
  assert.deepEqual({ changed: again.changed, after: again.after }, { changed: false, after: held('first') });
  const outcome = await releaseHold(controller, request);
  assert.deepEqual(outcome, {
    ...{ node: 'node1', nodeUid: uid, outcome: 'restored' },
    ...{ before: held('first'), after: AS_BEFORE, left: [] },
  });
  assert.deepEqual(await others(on), before);
  assert.equal((await waiting).node, 'node1');
  const twice = await releaseHold(controller, request);
  assert.deepEqual([twice.outcome, twice.left], ['as-before', []]);
});

scenario('what was there before is there after: a cordon, another taint, other annotations', async (on) => {
  const { cluster, controller, admin } = on;
  await cluster.kubectl('cordon', 'node1');
  await cluster.kubectl('taint', 'node', 'node1', `${TAINT}=earlier:NoSchedule`, 'mine=yes:NoSchedule');
  await cluster.kubectl('annotate', 'node', 'node1', `${HOLDS[0]}=false`);
  const [before, other] = [stateOf(await nodeOf(admin, 'node1')), await others(on)];
  assert.equal(before.unschedulable, true);
  assert.equal(before.taint, 'earlier');
  const request = await requested(on, 'second');
  const { recordedAt: _, ...prior } = request.prior;
  assert.deepEqual(prior, {
    nodeUid: (await nodeOf(admin, 'node1')).metadata.uid,
    unschedulable: true,
    taint: { value: 'earlier', effect: 'NoSchedule' },
    annotations: [{ name: HOLDS[0], value: 'false' }, { name: HOLDS[1] }, { name: ANNOTATIONS[2] }],
  });
  assert.deepEqual((await applyHold(controller, request)).after, held('second'));
  assert.deepEqual(await others(on), other);
  const outcome = await releaseHold(controller, request);
  assert.deepEqual([outcome.outcome, outcome.left, outcome.after], ['restored', [], before]);
  assert.deepEqual(await others(on), other);
  await cluster.kubectl('uncordon', 'node1');
  await cluster.kubectl('taint', 'node', 'node1', `${TAINT}-`, 'mine-');
  await cluster.kubectl('annotate', 'node', 'node1', `${HOLDS[0]}-`);
});

scenario('only held where it is not to be cordoned', async (on) => {
  const request = await requested(on, 'hold-only', { cordon: false });
  const { after } = await applyHold(on.controller, request);
  assert.deepEqual([after?.unschedulable, after?.taint], [false, null]);
  assert.deepEqual(Object.values(after?.annotations ?? {}), ['true', 'true', null]);
  assert.equal((await verifyHold(on.controller, request)).stands, true);
  await on.cluster.kubectl('cordon', 'node1'); // a person's, and none of ours
  const outcome = await releaseHold(on.controller, request);
  assert.deepEqual(outcome.after, { ...AS_BEFORE, unschedulable: true });
  assert.deepEqual(outcome.left, [{ what: 'spec.unschedulable', expected: false, found: true }]);
  await on.cluster.kubectl('uncordon', 'node1');
});

scenario('what a person changed meanwhile is said, and left', async (on) => {
  const { cluster, controller } = on;
  const request = await requested(on, 'changed');
  await applyHold(controller, request);
  await cluster.kubectl('uncordon', 'node1');
  await cluster.kubectl('annotate', '--overwrite', 'node', 'node1', `${HOLDS[1]}=false`);
  const wrong = [
    { what: 'spec.unschedulable', expected: true, found: false },
    { what: `annotation ${HOLDS[1]}`, expected: 'true', found: 'false' },
  ];
  const check = await verifyHold(controller, request);
  assert.deepEqual([check.stands, check.wrong], [false, wrong]);
  const outcome = await releaseHold(controller, request);
  assert.deepEqual([outcome.outcome, outcome.left], ['restored', wrong]);
  assert.deepEqual(outcome.after, { ...AS_BEFORE, annotations: { ...AS_BEFORE.annotations, [HOLDS[1]]: 'false' } });
  await cluster.kubectl('annotate', 'node', 'node1', `${HOLDS[1]}-`);
});

scenario('a taint that somebody took away, or made another, leaves no cordon of ours behind', async (on) => {
  const { cluster, controller } = on;
  for (const [how, found] of [
    [`${TAINT}-`, null],
    [`${TAINT}=theirs:NoSchedule`, 'theirs'],
  ] as const) {
    const request = await requested(on, 'taint');
    await applyHold(controller, request);
    await cluster.kubectl('taint', '--overwrite', 'node', 'node1', how);
    const outcome = await releaseHold(controller, request);
    assert.deepEqual(outcome.left, [{ what: `taint ${TAINT}`, expected: 'taint', found }]);
    assert.deepEqual(outcome.after, { ...AS_BEFORE, taint: found });
    if (found !== null) await cluster.kubectl('taint', 'node', 'node1', `${TAINT}-`);
  }
});

scenario('two captures of one node: it is as it was after the last, whichever that is', async (on) => {
  const { controller, admin } = on;
  for (const order of [
    [0, 1],
    [1, 0],
  ] as const) {
    const one = await recorded(on, captureOf('one', 'node1'));
    await applyHold(controller, { ...one, captures: [one.capture] });
    const two = await recorded(on, captureOf('two', 'node1'), [one.capture]);
    assert.deepEqual(two.prior, one.prior);
    const both = [one.capture, two.capture];
    const second = await applyHold(controller, { ...two, captures: both });
    assert.deepEqual([second.changed, second.after?.taint], [false, 'one']);
    const [first, last] = [both[order[0]], both[order[1]]];
    assert.ok(first !== undefined && last !== undefined);
    const handed = await releaseHold(controller, { capture: first, prior: one.prior, captures: both });
    assert.deepEqual([handed.outcome, handed.holder], ['handed-over', last.metadata.name]);
    assert.deepEqual(stateOf(await nodeOf(admin, 'node1')), held(last.metadata.name));
    const left = { capture: last, prior: two.prior, captures: [released(first), last] };
    assert.equal((await verifyHold(controller, left)).stands, true);
    const outcome = await releaseHold(controller, left);
    assert.deepEqual([outcome.outcome, outcome.left, outcome.after], ['restored', [], AS_BEFORE]);
  }
});

scenario('two captures that are released at once leave the node to neither', async (on) => {
  const one = await recorded(on, captureOf('one', 'node1', { release: true }));
  const two = await recorded(on, captureOf('two', 'node1', { release: true }), [one.capture]);
  const captures = [one.capture, two.capture];
  await applyHold(on.controller, { ...one, captures });
  const outcomes = await Promise.all([one, two].map((each) => releaseHold(on.controller, { ...each, captures })));
  assert.deepEqual(outcomes.map(({ outcome }) => outcome).toSorted(), ['as-before', 'restored']);
  assert.deepEqual(stateOf(await nodeOf(on.admin, 'node1')), AS_BEFORE);
});

scenario("a control plane's node is held, and not cordoned", async (on) => {
  const label = 'node-role.kubernetes.io/control-plane';
  await on.cluster.kubectl('label', 'node', 'node1', `${label}=`);
  const request = await requested(on, 'plane');
  const applied = await applyHold(on.controller, request);
  assert.deepEqual(
    applied.refused.map(({ what, reason }) => [what, reason]),
    [['cordon', 'control-plane-node']],
  );
  assert.deepEqual([applied.after?.unschedulable, applied.after?.taint], [false, null]);
  assert.equal((await verifyHold(on.controller, request, applied)).stands, true);
  assert.equal((await verifyHold(on.controller, request)).stands, false);
  const outcome = await releaseHold(on.controller, request);
  assert.deepEqual([outcome.outcome, outcome.left, outcome.after], ['restored', [], AS_BEFORE]);
  await on.cluster.kubectl('label', 'node', 'node1', `${label}-`);
});

scenario('who has the node opens it no further than its taint, and is seen', async (on) => {
  const { cluster, controller } = on;
  const request = await requested(on, 'rooted');
  await applyHold(controller, request);
  const kubelet = ['--as=system:node:node1', '--as-group=system:nodes', '--as-group=system:authenticated'];
  const asKubelet = (...words: readonly string[]): Promise<string> => cluster.kubectl(...words, ...kubelet);
  await assert.rejects(asKubelet('taint', 'node', 'node1', `${TAINT}-`), /not allowed to modify taints/);
  await assert.rejects(asKubelet('delete', 'node', 'node1'), /cannot delete resource "nodes"/);
  await asKubelet('patch', 'node', 'node1', '-p', '{"spec":{"unschedulable":null}}');
  await asKubelet('annotate', 'node', 'node1', ...ANNOTATIONS.map((name) => `${name}-`));
  const check = await verifyHold(controller, request);
  assert.deepEqual(check.wrong.map(({ what }) => what).toSorted(), [
    ...ANNOTATIONS.map((name) => `annotation ${name}`).toSorted(),
    'spec.unschedulable',
  ]);
  assert.equal(check.found?.taint, 'rooted');
  assert.equal((await applyHold(controller, request)).changed, true);
  assert.equal((await verifyHold(controller, request)).stands, true);
  const outcome = await releaseHold(controller, request);
  assert.deepEqual([outcome.left, outcome.after], [[], AS_BEFORE]);
});

scenario('an annotation that cannot be recorded is left, and said', async (on) => {
  const annotate = (value: string | null): Promise<unknown> =>
    on.admin.patch(`${NODES}/node1`, 'merge', { metadata: { annotations: { [HOLDS[0]]: value } } });
  const endless = 'x'.repeat(100_000);
  const said = `${'x'.repeat(256)}… (100000 characters)`; // an entry has its bounds
  await annotate(endless);
  const request = await requested(on, 'endless');
  const applied = await applyHold(on.controller, request);
  assert.deepEqual(
    applied.refused.map(({ what, reason }) => [what, reason]),
    [['hold', 'annotation-unrecordable']],
  );
  assert.deepEqual([applied.after?.unschedulable, applied.after?.annotations[HOLDS[0]]], [true, said]);
  assert.equal((await verifyHold(on.controller, request)).stands, true);
  await releaseHold(on.controller, request);
  assert.equal(stateOf(await nodeOf(on.admin, 'node1')).annotations[HOLDS[0]], endless);
  await annotate(null);
  assert.deepEqual(stateOf(await nodeOf(on.admin, 'node1')), AS_BEFORE);
});
