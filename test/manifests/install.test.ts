// The manifests as they install Impound: real pods of the built images capture a node, with the privileges that stand there.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeCapture } from '../../protocol/index.ts';
import { cli } from '../helpers/cli.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { begin, get, marksOf, UNMARKED } from '../helpers/installed-captures.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { INSTALLED_COMPONENTS, type Installed, startInstalled } from '../testbed/installed.ts';

const scenario = await fileBed(INSTALLED_COMPONENTS, () => startInstalled({ after }));
const home = await fileTemporaryFolder();

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
    readonly spec: { readonly nodeName: string };
    readonly status: { readonly containerStatuses: readonly { readonly restartCount: number }[] };
  }[];
}

const pods = async ({ cluster, namespace }: Installed) =>
  ((await cluster.api('GET', `/api/v1/namespaces/${namespace}/pods`)) as PodList).items;

scenario('an agent runs on every node, two controllers on two nodes, none was started twice', async (installed) => {
  const all = await pods(installed);
  const nodesOf = (name: string) =>
    all
      .filter(({ metadata }) => metadata.labels['app.kubernetes.io/name'] === name)
      .map(({ spec }) => spec.nodeName)
      .sort();
  assert.deepEqual(nodesOf('impound-agent'), ['node1', 'node2', 'node3']);
  assert.equal(new Set(nodesOf('impound-controller')).size, 2);
  assert.deepEqual(
    all.flatMap(({ status }) => status.containerStatuses.map(({ restartCount }) => restartCount)),
    [0, 0, 0, 0, 0],
  );
});

scenario('a node is captured by its pod’s agent, sealed, verified, and released', async (installed) => {
  const { cluster } = installed;
  const script = 'cp /bin/busybox /tmp/busybox-x && /tmp/busybox-x sleep 1000000 & while true; do sleep 1; done';
  await cluster.pod('victim', script, { node: 'node1' });
  const suspects = [{ pod: { namespace: 'default', name: 'victim' } }];
  await cluster.apply({
    apiVersion: 'impound.dev/v1alpha1',
    kind: 'NodeCapture',
    metadata: { name: 'installed' },
    spec: {
      ...{ node: 'node1', requestedBy: 'admin', reason: 'a test', suspects, watchSeconds: 1 },
      ...{ encryption: { none: true }, collectors: { skip: ['timeline'] } },
    },
  });
  const path = '/apis/impound.dev/v1alpha1/nodecaptures/installed';
  const phase = async (wanted: string): Promise<NodeCapture> => {
    for (const end = Date.now() + 120_000; ; await sleep(200)) {
      const capture = (await cluster.api('GET', path)) as NodeCapture;
      if (capture.status?.phase === wanted) return capture;
      if (Date.now() > end || capture.status?.phase === 'Failed') assert.fail(JSON.stringify(capture.status));
    }
  };
  const { status } = await phase('Sealed');
  const { url = '', head } = status?.bundle ?? {};
  const words = [
    'verify',
    url,
    '--strict',
    '--key',
    installed.publicKey,
    '--head',
    `${head?.sequence}:${head?.sha256}`,
  ];
  const { code, stdout } = await cli(words, { home, env: installed.aws });
  assert.equal(code, 0, stdout);
  const read = async (artefact: string) => (await cli(['cat', url, artefact], { home, env: installed.aws })).stdout;
  assert.match(await read('10-process/processes.jsonl'), /busybox-x/);
  assert.match(await read('30-container/cri/containers.jsonl'), /"victim"/);
  assert.match(await read('30-container/layers/drift.jsonl'), /busybox-x/);
  await cluster.kubectl('patch', 'ncap', 'installed', '--type=merge', '-p', '{"spec":{"release":true}}');
  await phase('Released');
});

scenario('taken away: what ran is sealed, nodes are given back, nothing stays in the cluster', async (installed) => {
  const { cluster, publicKey, rendered, aws } = installed;
  await begin(installed, 'last', { node: 'node2', watchSeconds: 60 });
  const { status } = await get(installed, 'last');
  assert.notDeepEqual(await marksOf(cluster, 'node2'), UNMARKED);

  await cluster.kubectl('delete', 'nodecaptures', '--all', '--timeout=120s');
  assert.deepEqual(await marksOf(cluster, 'node2'), UNMARKED);
  const words = ['verify', status?.bundle?.url ?? '', '--strict', '--key', publicKey];
  const { code, stdout } = await cli(words, { home, env: aws });
  assert.equal(code, 0, stdout);

  await cluster.kubectl('delete', '-f', rendered, '--timeout=120s');
  const kinds = 'crd,clusterrole,clusterrolebinding,priorityclass,validatingadmissionpolicy,namespace';
  const left = await cluster.kubectl('get', kinds, '-o', 'name');
  assert.match(left, /namespace\/kube-system/);
  assert.doesNotMatch(left, /impound/);
  assert.deepEqual(await pods(installed), []);
});
