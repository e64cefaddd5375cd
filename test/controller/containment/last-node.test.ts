// The last node that takes pods is held and not cordoned, on a cluster that has no other.
import assert from 'node:assert/strict';
import { applyHold } from '../../../controller/containment/hold.ts';
import { HOLDS } from '../../../controller/containment/marks.ts';
import { releaseHold } from '../../../controller/containment/release.ts';
import { fileBed } from '../../helpers/file-bed.ts';
import { CLUSTER_COMPONENTS } from '../../testbed/cluster.ts';
import { captureOf, nodeOf, recorded, startControllerBed } from './bed.ts';

const scenario = await fileBed(CLUSTER_COMPONENTS, () => startControllerBed(1));

scenario('the only node of a cluster is held, and not cordoned', async (on) => {
  const request = { ...(await recorded(on, captureOf('only', 'node1'))), captures: [] };
  const { before, after, refused } = await applyHold(on.controller, request);
  assert.deepEqual(
    refused.map(({ what, reason }) => [what, reason]),
    [['cordon', 'last-schedulable-node']],
  );
  assert.deepEqual([after?.unschedulable, after?.taint, after?.annotations[HOLDS[0]]], [false, null, 'true']);
  const outcome = await releaseHold(on.controller, request);
  assert.deepEqual([outcome.outcome, outcome.left, outcome.after], ['restored', [], before]);
});

scenario('a node that is cordoned already may be the last', async (on) => {
  await on.cluster.kubectl('cordon', 'node1');
  const request = { ...(await recorded(on, captureOf('closed', 'node1'))), captures: [] };
  const { after, refused } = await applyHold(on.controller, request);
  assert.deepEqual([refused, after?.taint], [[], 'closed']);
  await releaseHold(on.controller, request);
  const { spec } = await nodeOf(on.admin, 'node1');
  assert.deepEqual(
    [spec.unschedulable, spec.taints?.map(({ key }) => key)],
    [true, ['node.kubernetes.io/unschedulable']],
  );
});
