// Impound as it is installed, and everything on a node that the controller asks the API server about.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import type { NodeCapture } from '../../protocol/index.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { BUSYBOX_IMAGE } from '../testbed/containerd-config.ts';
import { type Installed, startInstalled } from '../testbed/installed.ts';

const CAPTURES = '/apis/impound.dev/v1alpha1/nodecaptures';
const LEASE = '/apis/coordination.k8s.io/v1/namespaces/impound-system/leases/impound-controller';
const RBAC = 'rbac.authorization.k8s.io';

export async function startAuditBed(): Promise<Installed> {
  const installed = await startInstalled({ after });
  await startWorkload(installed.cluster);
  return installed;
}

/** A pod of each owner that Kubernetes has, on node1, whose account has roles. */
async function startWorkload(cluster: Cluster): Promise<void> {
  const template = (app: string, more: object = {}): object => ({
    metadata: { labels: { app } },
    spec: {
      containers: [{ name: 'main', image: BUSYBOX_IMAGE, command: ['sh', '-c', 'exec sleep 1000000'] }],
      nodeSelector: { 'kubernetes.io/hostname': cluster.node },
      ...{ serviceAccountName: 'worker', terminationGracePeriodSeconds: 0, ...more },
    },
  });
  const metadata = (name: string): object => ({ name, namespace: 'web' });
  const owned = (name: string): object => ({ selector: { matchLabels: { app: name } }, template: template(name) });
  const job = { template: template('mine', { restartPolicy: 'Never' }) };
  await cluster.apply(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'web' } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: metadata('worker') },
    {
      ...{ apiVersion: `${RBAC}/v1`, kind: 'Role', metadata: metadata('reader') },
      rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }],
    },
    {
      ...{ apiVersion: `${RBAC}/v1`, kind: 'RoleBinding', metadata: metadata('reader') },
      roleRef: { apiGroup: RBAC, kind: 'Role', name: 'reader' },
      subjects: [{ kind: 'ServiceAccount', name: 'worker', namespace: 'web' }],
    },
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: metadata('web'), spec: owned('web') },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: metadata('db'),
      spec: { serviceName: 'db', ...owned('db') },
    },
    { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: metadata('log'), spec: owned('log') },
    {
      ...{ apiVersion: 'batch/v1', kind: 'CronJob', metadata: metadata('mine') },
      spec: { schedule: '0 0 1 1 *', jobTemplate: { spec: job } },
    },
  );
  await cluster.kubectl('-n', 'web', 'create', 'job', 'mine-now', '--from=cronjob/mine');
  for (const app of ['web', 'db', 'log', 'mine']) {
    await cluster.kubectl('-n', 'web', 'wait', '--for=create', '--timeout=30s', 'pod', '-l', `app=${app}`);
    await cluster.kubectl('-n', 'web', 'wait', '--for=condition=Ready', '--timeout=60s', 'pod', '-l', `app=${app}`);
  }
}

export async function capture({ cluster }: Installed, name: string): Promise<void> {
  const spec = { node: cluster.node, requestedBy: 'admin', reason: 'a test', encryption: { none: true } };
  await cluster.api('POST', CAPTURES, {
    ...{ apiVersion: 'impound.dev/v1alpha1', kind: 'NodeCapture', metadata: { name } },
    spec: { ...spec, profile: 'quick', collectors: { only: ['host'] } },
  });
}

export async function untilPhase({ cluster }: Installed, name: string, wanted: string): Promise<NodeCapture> {
  for (const end = Date.now() + 60_000; ; await sleep(100)) {
    const found = (await cluster.api('GET', `${CAPTURES}/${name}`)) as NodeCapture;
    if (found.status?.phase === wanted) return found;
    if (Date.now() > end) throw new Error(`${name} is not ${wanted}: ${JSON.stringify(found.status)}`);
  }
}

/** Says so at once; the controller's finalizer lets it go. */
export async function untilGone({ cluster }: Installed, name: string): Promise<void> {
  await cluster.kubectl('delete', 'ncap', name, '--timeout=30s');
}

/** URL of the leader, as the test reaches it. */
export async function reachLeader({ cluster }: Installed): Promise<string> {
  const { metadata } = (await cluster.api('GET', LEASE)) as {
    readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
  };
  const { host } = new URL(metadata.annotations['impound.dev/address'] ?? '');
  return `https://${await cluster.reach('control', host)}`;
}

/** File with the authority that agents are given, in `folder`. */
export async function authority({ cluster, namespace }: Installed, folder: string): Promise<string> {
  const { data } = (await cluster.api('GET', `/api/v1/namespaces/${namespace}/configmaps/impound-ca`)) as {
    readonly data: Readonly<Record<string, string>>;
  };
  const file = join(folder, 'ca.crt');
  await writeFile(file, data['ca.crt'] ?? '');
  return file;
}

export interface PodProcess {
  /** "impound-agent", "impound-controller". */
  readonly name: string;
  readonly node: string;
  /** Of its container's first process, on this machine. */
  readonly pid: number;
}

/** Of each pod of the installation. */
export async function processes({ cluster, namespace }: Installed): Promise<readonly PodProcess[]> {
  const { items } = (await cluster.api('GET', `/api/v1/namespaces/${namespace}/pods`)) as {
    readonly items: readonly {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: { readonly nodeName: string };
      readonly status: { readonly containerStatuses: readonly { readonly containerID: string }[] };
    }[];
  };
  const lists = await Promise.all(
    cluster.nodes.map(({ name, containerd }) =>
      cluster.run(name, ['ctr', '-a', containerd, '-n', 'k8s.io', 'tasks', 'list']),
    ),
  );
  const pids = new Map(lists.flatMap((list) => list.split('\n').map((line) => line.split(/\s+/) as [string, string])));
  return items.flatMap(({ metadata, spec, status }) =>
    status.containerStatuses.map(({ containerID }) => ({
      name: metadata.labels['app.kubernetes.io/name'] ?? '',
      node: spec.nodeName,
      pid: Number(pids.get(containerID.replace('containerd://', ''))),
    })),
  );
}

/** Where its TCP connections lead that it has not accepted at `port`: "10.96.0.1:443" (proc(5), net/tcp). */
export async function connections(pid: number, port: number): Promise<readonly string[]> {
  const lines = (await readFile(`/proc/${pid}/net/tcp`, 'utf8')).trim().split('\n').slice(1);
  const read = (text = ''): readonly [string, number] => {
    const [address = '', number = ''] = text.split(':');
    return [
      (address.match(/../g) ?? [])
        .reverse()
        .map((two) => Number.parseInt(two, 16))
        .join('.'),
      Number.parseInt(number, 16),
    ];
  };
  return lines.flatMap((line) => {
    const [, local, remote, state] = line.trim().split(/\s+/);
    const to = read(remote);
    return state === '01' && read(local)[1] !== port ? [to.join(':')] : [];
  });
}

/** As the controllers are told. */
export async function storeAddress({ cluster, namespace }: Installed): Promise<URL> {
  const { data } = (await cluster.api('GET', `/api/v1/namespaces/${namespace}/configmaps/impound-controller`)) as {
    readonly data: Readonly<Record<string, string>>;
  };
  const config = parse(data['controller.yaml'] ?? '') as { readonly store: { readonly endpoint: string } };
  return new URL(config.store.endpoint);
}
