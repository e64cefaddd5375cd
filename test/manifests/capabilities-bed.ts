// One node with a suspect on it, and pods of the agent's manifest that capture it: as it stands there, or with less.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after } from 'node:test';
import { generateKeyFiles } from '../../evidence/index.ts';
import { rowsOf } from '../helpers/collect.ts';
import { readManifests } from '../protocol/rights.ts';
import { CLUSTER_COMPONENTS, type Cluster, type Pod, startCluster } from '../testbed/cluster.ts';
import { builtImages, IMAGE_COMPONENTS, imageReference } from '../testbed/image.ts';
import { BASE } from '../testbed/manifests.ts';
import { KUBECTL } from './overlay.ts';

/** What `needs` is told for a test that starts it. */
export const AGENT_COMPONENTS = [...CLUSTER_COMPONENTS, ...IMAGE_COMPONENTS] as const;

const NAMESPACE = 'impound-system';
/** Of another user than root, in the suspect's own layer, and in its memory. */
export const OWN_FILE = '/tmp/own';
export const SHARED_FILE = '/dev/shm/own';
/** Of the suspect's image, and made anew by it. */
export const NEW_FOLDER = '/tmp';
const SUSPECT = [
  `rm -r ${NEW_FOLDER} && mkdir ${NEW_FOLDER}`,
  `for file in ${OWN_FILE} ${SHARED_FILE}; do echo kept >$file && chown 1000:1000 $file && chmod 600 $file; done`,
  'while true; do busybox nc -w 1 127.0.0.1 4444 </dev/null; sleep 0.1; done',
].join('\n');

interface AgentContainer {
  readonly securityContext: { readonly capabilities: { readonly add: readonly string[] } };
  readonly volumeMounts: readonly { readonly name: string }[];
}

interface AgentPod {
  readonly containers: readonly AgentContainer[];
  readonly volumes: readonly object[];
}

/** How a pod differs from the manifest's. */
export interface Less {
  readonly capability?: string;
  readonly user?: number;
  /** Of the pod's spec. */
  readonly spec?: { readonly hostPID?: false; readonly hostNetwork?: false };
}

export interface Captured {
  readonly artefacts: readonly string[];
  readonly gaps: readonly { readonly collector: string; readonly reason: string; readonly names: readonly string[] }[];
  readonly footprint: readonly { readonly kind: string; readonly name: string; readonly detail?: string }[];
  /** In bytes. */
  size(path: string): number;
  /** Rows of a table; none where it is not there. */
  rows(path: string): Promise<readonly Record<string, unknown>[]>;
}

export interface AgentBed {
  readonly cluster: Cluster;
  readonly suspect: Pod;
  /** Of the manifest. */
  readonly capabilities: readonly string[];
  /** What a script prints in a pod of the manifest, with `less` than that. */
  node(less: Less, script: string): Promise<string>;
  /** `impound capture --local` there, by these collectors alone. */
  capture(less: Less, ...collectors: readonly string[]): Promise<Captured>;
}

export async function startAgentBed(): Promise<AgentBed> {
  const [cluster, images, spec] = await Promise.all([startCluster({ after }), builtImages(), agentPod()]);
  const [first] = cluster.nodes;
  const [container] = spec.containers;
  assert.ok(first !== undefined && container !== undefined && spec.containers.length === 1);
  const account = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'impound-agent', namespace: NAMESPACE },
  };
  const metadata = { name: 'impound-ca', namespace: NAMESPACE };
  const priority = {
    apiVersion: 'scheduling.k8s.io/v1',
    kind: 'PriorityClass',
    metadata: { name: 'impound' },
    value: 1,
  };
  const [suspect] = await Promise.all([
    cluster.pod('suspect', SUSPECT, { node: first.name }),
    cluster.run(first.name, ['ctr', '-a', first.containerd, '-n', 'k8s.io', 'images', 'import', images.agent]),
    cluster.apply(
      await readFile(join(BASE, 'namespace.yaml'), 'utf8'),
      account,
      ...[priority, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'ca.crt': '' } }],
    ),
  ]);

  const started = new Map<string, Promise<Pod>>();
  let number = 0;
  const podOf = (less: Less): Promise<Pod> => {
    const key = JSON.stringify(less);
    const known = started.get(key) ?? startPod(cluster, `agent-${started.size}`, spec, container, less);
    started.set(key, known);
    return known;
  };
  // all at once, which takes no longer than one; what fails is said to who waits for it
  for (const capability of [undefined, ...container.securityContext.capabilities.add])
    podOf(capability === undefined ? {} : { capability }).catch(() => undefined);
  const run = async (less: Less, ...words: readonly string[]): Promise<string> => {
    const { name } = await podOf(less);
    const kubectl = [KUBECTL, '--kubeconfig', cluster.admin.kubeconfig, 'exec', '-n', NAMESPACE, name, '--'];
    // a busy machine has many processes and namespaces to go through
    return cluster.run('control', [...kubectl, '/usr/bin/node', ...words], { milliseconds: 180_000 });
  };
  return {
    ...{ cluster, suspect },
    node: (less, script) => run(less, '--eval', script),
    capabilities: container.securityContext.capabilities.add,
    async capture(less, ...collectors) {
      const sockets = [`--containerd=/host${first.containerd}`, `--cri=/host${first.containerd}`];
      const only = collectors.flatMap((name) => ['--collector', name]);
      const { uid } = await podOf(less);
      const out = join(cluster.directory, first.name, 'kubelet/pods', uid, 'volumes/kubernetes.io~empty-dir/out');
      const key = `key-${number++}.pem`;
      await generateKeyFiles(join(out, key));
      const said = await run(
        less,
        ...['/opt/impound/dist/cli/main.js', 'capture', '--local', '--json', '--profile=quick'],
        ...[
          '--root=/host',
          '--store=/out',
          `--key=/out/${key}`,
          '--suspect=pod:default/suspect',
          '--watch=1',
          ...sockets,
          ...only,
        ],
      );
      const { path } = JSON.parse(said) as { readonly path: string };
      return readCaptured(join(out, path.replace('/out/', ''), 'data'));
    },
  };
}

/** Of the manifest: "SYS_PTRACE". */
export async function agentCapabilities(): Promise<readonly string[]> {
  const { containers } = await agentPod();
  return containers.flatMap(({ securityContext }) => securityContext.capabilities.add);
}

async function agentPod(): Promise<AgentPod> {
  const manifests = await readManifests(join(BASE, 'agent.yaml'));
  const { spec } = manifests.find(({ kind }) => kind === 'DaemonSet') ?? assert.fail('there is no DaemonSet');
  return (spec as { readonly template: { readonly spec: AgentPod } }).template.spec;
}

/** The manifest's, which sleeps, with a folder to write to; its image has no shell. */
async function startPod(
  cluster: Cluster,
  name: string,
  { containers: _, volumes, ...pod }: AgentPod,
  { securityContext, volumeMounts, ...container }: AgentContainer,
  less: Less,
): Promise<Pod> {
  const { add, ...capabilities } = securityContext.capabilities;
  const user = less.user === undefined ? {} : { runAsUser: less.user };
  const kept = add.filter((one) => one !== less.capability);
  assert.equal(kept.length, add.length - (less.capability === undefined ? 0 : 1));
  return cluster.pod(name, '', {
    ...{ namespace: NAMESPACE, node: cluster.node },
    container: {
      ...container,
      ...{ image: imageReference('agent'), command: ['/usr/bin/node', '-e', 'setInterval(() => {}, 1e9)'], args: [] },
      securityContext: { ...securityContext, ...user, capabilities: { ...capabilities, add: kept } },
      volumeMounts: [...volumeMounts, { name: 'out', mountPath: '/out' }],
    },
    spec: {
      ...pod,
      volumes: [...volumes, { name: 'out', emptyDir: {} }],
      terminationGracePeriodSeconds: 0,
      ...less.spec,
    },
  });
}

async function readCaptured(data: string): Promise<Captured> {
  const entries = await readdir(data, { recursive: true });
  const rows: Captured['rows'] = async (path) =>
    entries.includes(path) ? rowsOf(await readFile(join(data, path))) : [];
  return {
    artefacts: entries,
    gaps: (await rows('00-meta/gaps.jsonl')) as unknown as Captured['gaps'],
    footprint: JSON.parse(await readFile(join(data, '00-meta/footprint.json'), 'utf8')) as Captured['footprint'],
    size: (path) => statSync(join(data, path)).size,
    rows,
  };
}
