// Hollow nodes: Node and agent pod as the API server has them of a real one, with the token that a kubelet would have asked for,
// and their reports. Nothing runs on them.
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { forEachBounded } from '../../evidence/index.ts';
import { AGENT_AUDIENCE } from '../../protocol/index.ts';
import type { Impound } from '../../test/testbed/impound.ts';
import { checkout } from '../measure.ts';

type Api = Impound['cluster']['api'];

/** As many as the bed's client to the API server has connections, twice. */
const AT_ONCE = 8;
const TOKEN_SECONDS = 7200;
/** As a kubelet reports its status where nothing changes. */
const STATUS_SECONDS = 300;
const TICK_MILLISECONDS = 1000;
/** As a kubelet lists them in its status, at most. */
const IMAGES = 50;

const NODES = '/api/v1/nodes';

export interface HollowNode {
  readonly name: string;
  /** File of its agent's token. */
  readonly token: string;
}

export async function makeHollowNodes({ cluster, namespace }: Impound, count: number): Promise<readonly HollowNode[]> {
  const folder = join(cluster.directory, 'tokens');
  await mkdir(folder);
  const spec = await agentSpec();
  const names = Array.from({ length: count }, (_, index) => `hollow-${String(index + 1).padStart(4, '0')}`);
  const pods = `/api/v1/namespaces/${namespace}/pods`;
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  const { api } = cluster;
  const make = async (name: string): Promise<void> => {
    await api('POST', NODES, nodeObject(name));
    // as the node controller would, ten nodes a second: its work for a new node is not what is measured
    await api('PATCH', `${NODES}/${name}`, { spec: { taints: null } });
    const pod = `impound-agent-${name}`;
    const labels = { 'app.kubernetes.io/name': 'impound-agent' };
    await api('POST', pods, { metadata: { name: pod, labels }, spec: { ...spec, nodeName: name } });
    const bound = { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: pod } };
    const asked = { spec: { audiences: [AGENT_AUDIENCE], expirationSeconds: TOKEN_SECONDS, ...bound } };
    const { status } = (await api('POST', `${accounts}/impound-agent/token`, asked)) as { status: { token: string } };
    await writeFile(join(folder, name), status.token);
  };
  await forEachBounded(names, AT_ONCE, make);
  return names.map((name) => ({ name, token: join(folder, name) }));
}

/**
 * Their kubelets' part that controllers see, until it is told to end. Leases are not renewed: nothing of Impound looks at them, and
 * what they cost the API server would be taken from those who are measured.
 */
export function keepReporting(api: Api, names: readonly string[]): () => Promise<void> {
  let turn = 0;
  let working: Promise<unknown> = Promise.resolve();
  const tick = async (): Promise<void> => {
    const at = turn++;
    for (const name of names.filter((_, index) => index % STATUS_SECONDS === at % STATUS_SECONDS))
      await api('PATCH', `${NODES}/${name}/status`, { status: { conditions: conditions() } });
  };
  const timer = setInterval(() => {
    working = Promise.all([working, tick()]);
    working.catch(() => undefined); // said when it is ended
  }, TICK_MILLISECONDS);
  return async () => {
    clearInterval(timer);
    await working;
  };
}

/** Of the DaemonSet's pods, without what has to be there first. */
async function agentSpec(): Promise<object> {
  const { spec } = parse(await readFile(join(checkout, 'manifests/base/agent.yaml'), 'utf8')) as {
    readonly spec: { readonly template: { readonly spec: object } };
  };
  return { ...spec.template.spec, priorityClassName: undefined };
}

/** Some 12 KB, as a cloud's node. */
function nodeObject(name: string): object {
  const domain = 'topology.kubernetes.io';
  const capacity = { cpu: '8', memory: '32Gi', pods: '110', 'ephemeral-storage': '100Gi' };
  return {
    metadata: {
      name,
      labels: {
        'kubernetes.io/hostname': name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': 'amd64',
        'beta.kubernetes.io/os': 'linux',
        'beta.kubernetes.io/arch': 'amd64',
        'node.kubernetes.io/instance-type': 'm6i.2xlarge',
        [`${domain}/region`]: 'eu-central-1',
        [`${domain}/zone`]: 'eu-central-1a',
      },
      annotations: { 'csi.volume.kubernetes.io/nodeid': JSON.stringify({ 'ebs.csi.aws.com': name }) },
    },
    spec: { providerID: `aws:///eu-central-1a/i-${name}` },
    status: {
      ...{ capacity, allocatable: capacity, conditions: conditions() },
      addresses: [{ type: 'Hostname', address: name }],
      images: Array.from({ length: IMAGES }, () => image()),
      nodeInfo: {
        ...{ architecture: 'amd64', operatingSystem: 'linux', osImage: 'a hollow one', kernelVersion: '6.12.0' },
        ...{ kubeletVersion: 'v1.36.3', kubeProxyVersion: 'v1.36.3', containerRuntimeVersion: 'containerd://2.0.0' },
        ...{ machineID: hex(16), systemUUID: hex(16), bootID: hex(16) },
      },
    },
  };
}

function image(): object {
  const repository = `registry.example.com/team/service-${hex(4)}`;
  return { names: [`${repository}@sha256:${hex(32)}`, `${repository}:1.2.3`], sizeBytes: 123_456_789 };
}

function conditions(): readonly object[] {
  const now = `${new Date().toISOString().slice(0, 19)}Z`;
  const times = { lastHeartbeatTime: now, lastTransitionTime: now };
  const well = ['MemoryPressure', 'DiskPressure', 'PIDPressure'].map((type) => ({ type, status: 'False' }));
  const all = [...well, { type: 'Ready', status: 'True' }];
  return all.map((condition) => ({ ...condition, ...times, reason: 'Hollow', message: 'nothing runs here' }));
}

function hex(bytes: number): string {
  return randomBytes(bytes).toString('hex');
}
