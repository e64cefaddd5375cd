// A NodeCapture becomes a sealed bundle: real API server, kubelets and containerd, a planted intrusion, and the node given
// back as it was.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { readChain } from '../../evidence/index.ts';
import { rowsOf } from '../helpers/collect.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { askHttps } from '../helpers/https.ts';
import { storeOf, verified } from '../helpers/sealed.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { IMPOUND_COMPONENTS, type Impound, startImpound } from '../testbed/impound.ts';

const SECRET = 'the-planted-secret-91c2';
/** What an intruder does in a pod: drops a program and runs it, deletes a file, listens. */
const INTRUSION = [
  'cp /bin/busybox /tmp/busybox-x && /tmp/busybox-x sleep 1000000 &',
  'rm /etc/passwd',
  `TOKEN=${SECRET} busybox sh -c 'sleep 1000000' &`,
  'busybox nc -ll -p 4444 -e /bin/sh &',
  'while true; do sleep 1; done',
].join('\n');

const scenario = await fileBed(IMPOUND_COMPONENTS, startBed);
const home = await fileTemporaryFolder();

async function startBed(): Promise<Impound> {
  const started = await startImpound({ after });
  await started.cluster.pod('victim', INTRUSION, { node: 'node1' });
  return started;
}

interface NodeState {
  readonly spec: {
    readonly unschedulable?: boolean;
    readonly taints?: readonly { readonly key: string; readonly value?: string; readonly effect: string }[];
  };
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
}

const nodeState = async ({ cluster }: Impound) => {
  const { spec, metadata } = (await cluster.api('GET', '/api/v1/nodes/node1')) as NodeState;
  const taints = (spec.taints ?? []).filter(({ key }) => !key.startsWith('node.kubernetes.io/'));
  const names = ['cluster-autoscaler.kubernetes.io/scale-down-disabled', 'karpenter.sh/do-not-disrupt'];
  const annotations = names.flatMap((name) => metadata.annotations?.[name] ?? []);
  return { unschedulable: spec.unschedulable ?? false, taints, annotations };
};

scenario('kubectl apply leads to a sealed bundle that verifies with the controller’s key', async (impound) => {
  const suspects = [{ pod: { namespace: 'default', name: 'victim' } }];
  await impound.cluster.apply({
    apiVersion: 'impound.dev/v1alpha1',
    kind: 'NodeCapture',
    metadata: { name: 'miner' },
    spec: {
      ...{ node: 'node1', requestedBy: 'admin', reason: 'a miner on web-3', case: 'IR-7', watchSeconds: 1, suspects },
      encryption: { none: true },
      collectors: { skip: ['timeline'] },
    },
  });
  await impound.untilPhase('miner', 20, 'Collecting');
  const while_ = await nodeState(impound);
  assert.equal(while_.unschedulable, true);
  assert.deepEqual(while_.taints, [{ key: 'impound.dev/capture', value: 'miner', effect: 'NoSchedule' }]);
  assert.deepEqual(while_.annotations, ['true', 'true']);

  const sealed = await impound.untilPhase('miner', 120, 'Sealed', 'Failed', 'Cancelled');
  assert.equal(sealed.status?.phase, 'Sealed', JSON.stringify(sealed.status));
  const { code, stdout } = await verified(impound, sealed, home);
  assert.equal(code, 0, stdout);
  const store = await storeOf(impound, sealed);
  const entries = await readChain(store);
  const actions = entries.map(({ statement }) => statement.predicate.action);
  assert.equal(actions[0], 'grant');
  for (const action of ['session', 'protect', 'collect', 'close', 'seal']) assert.ok(actions.includes(action), action);
  assert.equal(actions.at(-1), 'seal');
  const agents = entries.filter(({ statement }) => statement.predicate.actor.kind === 'agent');
  assert.ok(agents.length > 1);
  for (const { statement } of agents)
    assert.deepEqual(statement.predicate.actor, {
      ...{ kind: 'agent', name: 'system:serviceaccount:impound-system:impound-agent' },
      ...{ node: 'node1', pod: 'agent-node1', session: 1 },
    });
});

scenario(
  'the pod’s processes, sockets, description and drift are in the bundle, beside the API server’s word',
  async (impound) => {
    const store = await storeOf(impound, await impound.get('miner'));
    const rows = async (path: string) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of store.read(`data/${path}`)) chunks.push(chunk);
      return rowsOf(Buffer.concat(chunks));
    };
    const withWords = (list: readonly object[], ...words: readonly string[]) =>
      list.filter((row) => words.every((word) => JSON.stringify(row).includes(word)));
    const processes = await rows('10-process/processes.jsonl');
    assert.ok(withWords(processes, '/tmp/busybox-x').length >= 1, 'the dropped program');
    assert.ok(withWords(processes, SECRET).length >= 1, 'its environment');
    assert.ok(withWords(await rows('20-network/sockets.jsonl'), '4444').length >= 1, 'its listener');
    assert.equal(withWords(await rows('30-container/cri/containers.jsonl'), '"victim"').length, 1);
    const drift = await rows('30-container/layers/drift.jsonl');
    assert.ok(withWords(drift, '/tmp/busybox-x', 'added').length >= 1);
    assert.equal(withWords(drift, '/etc/passwd', 'deleted').length, 1);
    assert.equal(withWords(await rows('95-kubernetes/pods.jsonl'), '"victim"', '"default"').length, 1);
  },
);

scenario(
  'an analyst without credentials for the store reads it through the controller, and that is on the chain',
  async (impound) => {
    const { cluster, ca, serverName } = impound;
    await cluster.apply(
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'anna' } },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: 'anna' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'impound-analyst' },
        subjects: [{ kind: 'ServiceAccount', name: 'anna', namespace: 'default' }],
      },
    );
    const base = `${await impound.reach('node2')}/v1/captures/miner`;
    const asked = { ca, serverName, token: await cluster.token('anna') };
    const path = 'data/10-process/processes.jsonl';
    assert.equal((await askHttps(`${base}/objects/${path}`, asked)).status, 403);
    const recorded = await askHttps(`${base}/access`, { ...asked, json: { purpose: 'triage of IR-7' } });
    assert.equal(recorded.status, 201, recorded.bytes.toString());
    const { bytes } = await askHttps(`${base}/objects/${path}`, asked);
    assert.ok(bytes.includes(SECRET));
    const part = await askHttps(`${base}/objects/${path}`, { ...asked, headers: { range: 'bytes=5-14' } });
    assert.deepEqual([part.status, part.bytes], [206, bytes.subarray(5, 15)]);
    const capture = await impound.get('miner');
    const last = (await readChain(await storeOf(impound, capture))).at(-1);
    const { action, actor } = last?.statement.predicate ?? {};
    assert.deepEqual([action, actor?.name], ['access', 'system:serviceaccount:default:anna']);
    assert.deepEqual(capture.status?.bundle?.head, { sequence: last?.sequence, sha256: last?.sha256 });
  },
);

scenario('released, the node is as it was', async (impound) => {
  await impound.patch('miner', { release: true });
  const capture = await impound.untilPhase('miner', 20, 'Released');
  assert.deepEqual(await nodeState(impound), { unschedulable: false, taints: [], annotations: [] });
  const entries = await readChain(await storeOf(impound, capture));
  assert.equal(entries.at(-1)?.statement.predicate.action, 'release');
  assert.equal((await verified(impound, capture, home)).code, 0);
});

scenario('a node that was cordoned before stays so, also where the NodeCapture is deleted', async (impound) => {
  await impound.cluster.kubectl('cordon', 'node1');
  await impound.capture('cordoned', { profile: 'quick' });
  const capture = await impound.untilPhase('cordoned', 60, 'Sealed');
  await impound.remove('cordoned');
  for (let gone = false; !gone; )
    gone = await impound.get('cordoned').then(
      () => false,
      () => true,
    );
  assert.deepEqual(await nodeState(impound), { unschedulable: true, taints: [], annotations: [] });
  await impound.cluster.kubectl('uncordon', 'node1');
  const entries = await readChain(await storeOf(impound, capture));
  assert.deepEqual(entries.at(-1)?.statement.predicate.details.by, 'deletion');
});

scenario('cancelled, what there is is sealed', async (impound) => {
  await impound.capture('unwanted', { watchSeconds: 60 });
  await impound.until('unwanted', 30, ({ status }) => (status?.artefacts ?? 0) > 5);
  await impound.patch('unwanted', { cancel: true });
  const capture = await impound.untilPhase('unwanted', 40, 'Sealed', 'Cancelled', 'Failed');
  assert.equal(capture.status?.phase, 'Cancelled');
  assert.equal((await verified(impound, capture, home)).code, 0);
  await impound.patch('unwanted', { release: true });
  await impound.untilPhase('unwanted', 20, 'Released');
});

scenario('deleted in the middle, it is sealed and the node given back before the object goes', async (impound) => {
  await impound.capture('deleted', { watchSeconds: 60 });
  const running = await impound.until('deleted', 30, ({ status }) => (status?.artefacts ?? 0) > 5);
  await impound.remove('deleted');
  for (let gone = false; !gone; )
    gone = await impound.get('deleted').then(
      () => false,
      () => true,
    );
  assert.deepEqual(await nodeState(impound), { unschedulable: false, taints: [], annotations: [] });
  const entries = await readChain(await storeOf(impound, running));
  const actions = entries.map(({ statement }) => statement.predicate.action);
  assert.ok(actions.includes('seal'));
  assert.equal(actions.at(-1), 'release');
});

scenario('a request that cannot be is refused with its reason, and costs nothing', async (impound) => {
  await impound.capture('nowhere', { node: 'node9' });
  const missingNode = await impound.untilPhase('nowhere', 20, 'Failed');
  assert.match(missingNode.status?.message ?? '', /there is no node node9/);
  const recipients = [`age1${'q'.repeat(58)}`];
  await impound.capture('nobody', { encryption: { recipients } });
  const wrong = await impound.untilPhase('nobody', 20, 'Failed');
  assert.equal(wrong.status?.conditions?.[0]?.reason, 'RecipientsInvalid');
  assert.equal(wrong.status?.bundle, undefined);
  assert.deepEqual(await nodeState(impound), { unschedulable: false, taints: [], annotations: [] });
});

scenario('what this version does not do, and a hold that was undone, are said and are gaps', async (impound) => {
  const isolate = { when: 'afterCollect', scope: 'node' } as const;
  await impound.capture('more', { profile: 'quick', watchSeconds: 0, isolate, disks: { mode: 'snapshot' } });
  await impound.untilPhase('more', 20, 'Collecting');
  await impound.cluster.kubectl('uncordon', 'node1');
  const capture = await impound.untilPhase('more', 60, 'Sealed');
  const said = capture.status?.conditions?.filter(({ reason }) => reason === 'Unsupported');
  assert.deepEqual(said?.map(({ type }) => type).sort(), ['DisksCaptured', 'Isolated']);
  const chunks = await Array.fromAsync((await storeOf(impound, capture)).read('data/00-meta/gaps.jsonl'));
  const gaps = rowsOf(Buffer.concat(chunks)).filter(({ collector }) => collector === 'controller');
  assert.deepEqual(gaps.map(({ names }) => (names as string[])[0]).sort(), [
    'hold of node node1',
    'spec.disks',
    'spec.isolate',
  ]);
  assert.equal((await verified(impound, capture, home)).code, 0);
  await impound.patch('more', { release: true });
  await impound.untilPhase('more', 20, 'Released');
});

scenario('what happens is told where people look', async ({ cluster }) => {
  const events = await cluster.kubectl('get', 'events', '-n', 'default');
  for (const reason of ['Granted', 'Sealed', 'Released', 'NodeMissing']) assert.match(events, new RegExp(reason));
  const table = await cluster.kubectl('get', 'ncap');
  assert.match(table, /miner +node1 +Released +\d+/);
});
