// Everything the API server knows of a node, by the controller's own rights; what is refused is said, and loses nothing else.
import assert from 'node:assert/strict';
import { kubernetes as collector } from '../../../controller/collectors/kubernetes.ts';
import { rowsOf } from '../../helpers/collect.ts';
import { fileBed } from '../../helpers/file-bed.ts';
import { LEAST } from '../../protocol/samples.ts';
import { CLUSTER_COMPONENTS } from '../../testbed/cluster.ts';
import { BUSYBOX_IMAGE } from '../../testbed/containerd-config.ts';
import { type ControllerBed, startControllerBed } from '../containment/bed.ts';
import { collectKubernetes } from './collect.ts';

const CANARY = 'c4n4ry-of-a-secret';
const scenario = await fileBed(CLUSTER_COMPONENTS, startWorkload);

async function startWorkload(): Promise<ControllerBed> {
  const on = await startControllerBed(1);
  const labels = { app: 'web' };
  const container = {
    ...{ name: 'main', image: BUSYBOX_IMAGE, command: ['sh', '-c', 'exec sleep 1000000'] },
    env: [
      { name: 'MINER', value: 'xmr.example.com' },
      { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'db', key: 'password' } } },
    ],
    envFrom: [{ configMapRef: { name: 'settings' } }],
  };
  const volumes = [{ name: 'files', secret: { secretName: 'db' } }];
  const pod = { containers: [container], volumes, serviceAccountName: 'worker', terminationGracePeriodSeconds: 0 };
  const template = { metadata: { labels }, spec: pod };
  const job = { template: { spec: { ...pod, restartPolicy: 'Never' } } };
  const rbac = 'rbac.authorization.k8s.io';
  await on.cluster.apply(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'web' } },
    ...[
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'db' }, stringData: { password: CANARY } },
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { mode: CANARY } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'worker' } },
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'web' },
        spec: { selector: { matchLabels: labels }, template },
      },
      {
        apiVersion: 'apps/v1',
        kind: 'StatefulSet',
        metadata: { name: 'db' },
        spec: {
          serviceName: 'db',
          selector: { matchLabels: { app: 'db' } },
          template: { ...template, metadata: { labels: { app: 'db' } } },
        },
      },
      {
        apiVersion: 'apps/v1',
        kind: 'DaemonSet',
        metadata: { name: 'log' },
        spec: {
          selector: { matchLabels: { app: 'log' } },
          template: { ...template, metadata: { labels: { app: 'log' } } },
        },
      },
      {
        apiVersion: 'batch/v1',
        kind: 'CronJob',
        metadata: { name: 'mine' },
        spec: { schedule: '0 0 1 1 *', jobTemplate: { spec: job } },
      },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'Role',
        metadata: { name: 'reader' },
        rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }],
      },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'RoleBinding',
        metadata: { name: 'reader' },
        roleRef: { apiGroup: rbac, kind: 'Role', name: 'reader' },
        subjects: [{ kind: 'ServiceAccount', name: 'worker', namespace: 'web' }],
      },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'RoleBinding',
        metadata: { name: 'another' },
        roleRef: { apiGroup: rbac, kind: 'Role', name: 'reader' },
        subjects: [{ kind: 'ServiceAccount', name: 'another', namespace: 'web' }],
      },
      {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata: { name: 'closed' },
        spec: { podSelector: {} },
      },
    ].map((object) => ({ ...object, metadata: { ...object.metadata, namespace: 'web' } })),
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'too-much' },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'view' },
      subjects: [{ apiGroup: rbac, kind: 'Group', name: 'system:serviceaccounts:web' }],
    },
    { apiVersion: 'impound.dev/v1alpha1', kind: 'NodeCapture', metadata: { name: 'mine' }, spec: LEAST },
  );
  await on.cluster.kubectl('-n', 'web', 'create', 'job', 'mine-now', '--from=cronjob/mine');
  for (const app of ['web', 'db', 'log', undefined]) {
    const selector = app === undefined ? 'job-name=mine-now' : `app=${app}`;
    await on.cluster.kubectl('-n', 'web', 'wait', '--for=create', '--timeout=30s', 'pod', '-l', selector);
    await on.cluster.kubectl('-n', 'web', 'wait', '--for=condition=Ready', '--timeout=60s', 'pod', '-l', selector);
  }
  await on.cluster.kubectl('-n', 'kube-node-lease', 'wait', '--for=create', '--timeout=30s', 'lease/node1');
  return on;
}

const kindsOf = (bytes: Buffer | undefined): readonly string[] =>
  rowsOf(bytes).map(
    (row) => `${row.kind} ${(row.metadata as { readonly name: string }).name.replace(/-[a-z0-9-]*$/, '')}`,
  );

scenario('a node, and all that concerns it', async ({ controller }) => {
  const suspects = [{ pod: { namespace: 'web', name: 'gone' } }, { pod: { namespace: 'web', name: 'db-0' } }];
  const { artefacts, truncated, gaps } = await collectKubernetes({ kubernetes: controller, node: 'node1', suspects });
  assert.deepEqual([...artefacts.keys()].toSorted(), collector.artefacts.toSorted());
  assert.deepEqual(gaps, [
    { reason: 'vanished', name: 'pod web/gone', detail: 'a suspect, and not among the pods of node node1' },
  ]);
  assert.deepEqual([...truncated], []);
  const of = (name: string): Buffer | undefined => artefacts.get(`95-kubernetes/${name}`);
  assert.equal(JSON.parse(String(of('node.json'))).kind, 'Node');
  assert.equal(JSON.parse(String(of('leases.json'))).spec.holderIdentity, 'node1');
  const pods = rowsOf(of('pods.jsonl'));
  assert.equal(pods.filter(({ kind, apiVersion }) => kind === 'Pod' && apiVersion === 'v1').length, 4);
  assert.match(String(of('pods.jsonl')), /"value":"xmr.example.com"/);
  assert.deepEqual(kindsOf(of('owners.jsonl')).toSorted(), [
    ...['CronJob mine', 'DaemonSet log', 'Deployment web', 'Job mine', 'ReplicaSet web', 'StatefulSet db'],
  ]);
  assert.deepEqual(kindsOf(of('service-accounts.jsonl')), ['ServiceAccount worker']);
  assert.deepEqual(kindsOf(of('network-policies.jsonl')), ['NetworkPolicy closed']);
  assert.deepEqual(kindsOf(of('node-captures.jsonl')), ['NodeCapture mine']);
  const names = rowsOf(of('role-bindings.jsonl')).map(
    ({ kind, metadata }) => `${kind} ${(metadata as { readonly name: string }).name}`,
  );
  for (const name of ['ClusterRoleBinding too-much', 'ClusterRole view', 'RoleBinding reader', 'Role reader'])
    assert.ok(names.includes(name), name);
  assert.ok(!names.includes('RoleBinding another'));
  assert.equal(new Set(names).size, names.length);
  const admission = kindsOf(of('admission.jsonl'));
  assert.ok(admission.some((name) => name.startsWith('ValidatingAdmissionPolicy ')));
  const about = rowsOf(of('events.jsonl')).map(
    ({ involvedObject }) => (involvedObject as { readonly kind: string }).kind,
  );
  for (const kind of ['Node', 'Pod', 'ReplicaSet']) assert.ok(about.includes(kind), kind);
  for (const [path, bytes] of artefacts) {
    assert.ok(!bytes.includes(CANARY), path);
    assert.ok(!bytes.includes('"managedFields"'), path);
  }
});

scenario('Secrets and ConfigMaps are named, with the field that names them', async ({ controller }) => {
  const { artefacts } = await collectKubernetes({ kubernetes: controller, node: 'node1' });
  const rows = rowsOf(artefacts.get('95-kubernetes/references.jsonl')).filter(({ pod }) => pod === 'db-0');
  assert.deepEqual(
    rows.map(({ kind, name, field, key }) => [kind, name, String(field).replace(/\d+/g, 'N'), key]),
    [
      ['Secret', 'db', 'spec.volumes[N].secret', undefined],
      ['ConfigMap', 'kube-root-ca.crt', 'spec.volumes[N].projected.sources[N].configMap', undefined],
      ['ConfigMap', 'settings', 'spec.containers[N].envFrom[N].configMapRef', undefined],
      ['Secret', 'db', 'spec.containers[N].env[N].valueFrom.secretKeyRef', 'password'],
    ],
  );
});

scenario('a list that is denied is a gap, and loses no other', async ({ cluster, controller }) => {
  const role = JSON.parse(await cluster.kubectl('get', 'clusterrole', 'impound-controller', '-o', 'json'));
  const without = async (...resources: readonly string[]) => {
    const rules = role.rules.filter(
      (rule: { readonly resources: readonly string[] }) => !resources.includes(rule.resources[0] ?? ''),
    );
    const { name, labels } = role.metadata;
    await cluster.api('PUT', '/apis/rbac.authorization.k8s.io/v1/clusterroles/impound-controller', {
      metadata: { name, labels },
      rules,
    });
    for (const end = Date.now() + 10_000; ; ) {
      const collected = await collectKubernetes({ kubernetes: controller, node: 'node1' });
      if (collected.gaps.length > 0 === resources.length > 0 || Date.now() > end) return collected;
    }
  };
  const { artefacts, gaps, truncated } = await without('networkpolicies');
  assert.deepEqual(
    gaps.map(({ reason, name }) => [reason, name]),
    [['denied', 'list networkpolicies of namespace web']],
  );
  assert.match(gaps[0]?.detail ?? '', /ClusterRole impound-controller in manifests\/base\/rbac.yaml/);
  assert.deepEqual([artefacts.size, artefacts.has('95-kubernetes/network-policies.jsonl')], [10, false]);
  assert.deepEqual([...truncated], []);
  // of what is made of several lists, the others stay, and it says that it is not all
  const some = await without('clusterroles');
  assert.ok(some.gaps.every(({ reason, name }) => reason === 'denied' && /^get (cluster)?roles /.test(name)));
  assert.match(
    some.truncated.get('95-kubernetes/role-bindings.jsonl') ?? '',
    /^get .* and \d+ more: could not be had$/,
  );
  assert.ok(kindsOf(some.artefacts.get('95-kubernetes/role-bindings.jsonl')).includes('RoleBinding reader'));
  const blind = await without('pods');
  assert.deepEqual(
    blind.gaps.map(({ reason, name }) => [reason, name]),
    [
      ['denied', 'list pods of node node1'],
      ['skipped', 'owners, service accounts, network policies, references'],
    ],
  );
  assert.equal(blind.artefacts.size, 6);
  await without();
});

scenario('a list whose pages are too large is asked for in smaller ones', async ({ admin, controller }) => {
  const path = '/api/v1/namespaces/web/pods';
  const large = { name: 'LARGE', value: 'x'.repeat(1_200_000) };
  const containers = [{ name: 'main', image: BUSYBOX_IMAGE, env: [large] }];
  for (let number = 0; number < 60; number++)
    await admin.create(path, { metadata: { name: `large-${number}` }, spec: { nodeName: 'filled', containers } });
  const query = { fieldSelector: 'spec.nodeName=filled' };
  await assert.rejects(controller.list('/api/v1/pods', { query }), /has more than \d+ bytes/);
  const { artefacts, gaps } = await collectKubernetes({ kubernetes: controller, node: 'filled' });
  assert.deepEqual(
    gaps.map(({ reason, name }) => [reason, name]),
    [
      ['vanished', 'get nodes filled'],
      ['vanished', 'get leases kube-node-lease/filled'],
    ],
  );
  const pods = artefacts.get('95-kubernetes/pods.jsonl');
  assert.ok(pods !== undefined && pods.length > 60 * 1_200_000);
  assert.equal(rowsOf(pods).length, 60);
});

scenario('a node that is not there, and an API server that does not answer', async ({ cluster, controller }) => {
  const { artefacts, gaps } = await collectKubernetes({ kubernetes: controller, node: 'none' });
  assert.deepEqual(
    gaps.map(({ reason, name }) => [reason, name]),
    [
      ['vanished', 'get nodes none'],
      ['vanished', 'get leases kube-node-lease/none'],
    ],
  );
  assert.equal(artefacts.get('95-kubernetes/pods.jsonl')?.length, 0);
  await cluster.apiServer.kill();
  const dead = await collectKubernetes({ kubernetes: controller, node: 'node1' });
  assert.equal(dead.artefacts.size, 0);
  assert.ok(
    dead.gaps.some(
      ({ reason, name, detail }) => reason === 'failed' && name === 'list events' && detail === 'api-unreachable',
    ),
  );
});
