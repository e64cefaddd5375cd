// What the API server thinks of the manifests: all of it is taken, and Pod Security has nothing against any pod but what the
// agent's manifest explains.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { fileBed } from '../helpers/file-bed.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { CLUSTER_COMPONENTS, type Cluster, startCluster } from '../testbed/cluster.ts';
import { COMPONENTS, documentsOf, KUBECTL, writeOverlay } from './overlay.ts';

const NAMESPACE = 'impound-system';
const LEVELS = ['baseline', 'restricted'] as const;
/** Of https://kubernetes.io/docs/concepts/security/pod-security-standards/, against the agent; nothing against the controller. */
const BASELINE = [
  'forbidden AppArmor profile (container "agent" must not set AppArmor profile type to "Unconfined")',
  'host namespaces (hostNetwork=true, hostPID=true)',
  'hostPath volumes (volume "host")',
  'non-default capabilities (container "agent" must not include "DAC_READ_SEARCH", "NET_ADMIN", "NET_RAW", "SYSLOG", "SYS_ADMIN", "SYS_PTRACE" in securityContext.capabilities.add)',
  'seLinuxOptions (container "agent" set forbidden securityContext.seLinuxOptions: type "spc_t")',
];
/** And what only the strictest level forbids: that it is root, and any path of the host. */
const RESTRICTED = [
  ...BASELINE.filter((one) => !/^hostPath|^non-default/.test(one)),
  'restricted volume types (volume "host" uses restricted volume type "hostPath")',
  'runAsNonRoot != true (pod or container "agent" must set securityContext.runAsNonRoot=true)',
  'runAsUser=0 (container "agent" must not set runAsUser=0)',
  'unrestricted capabilities (container "agent" must not include "DAC_READ_SEARCH", "FOWNER", "NET_ADMIN", "NET_RAW", "SETGID", "SYSLOG", "SYS_ADMIN", "SYS_PTRACE" in securityContext.capabilities.add)',
];

interface Template {
  readonly metadata: object;
  readonly spec: { readonly serviceAccountName: string };
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly template: Template };
}

const scenario = await fileBed(CLUSTER_COMPONENTS, startBed);
const folder = await fileTemporaryFolder();

async function startBed(): Promise<Cluster> {
  const cluster = await startCluster({ after });
  const namespaces = LEVELS.map((level) => ({
    ...{ apiVersion: 'v1', kind: 'Namespace' },
    metadata: { name: level, labels: { 'pod-security.kubernetes.io/enforce': level } },
  }));
  const accounts = LEVELS.flatMap((namespace) =>
    ['impound-controller', 'impound-agent'].map((name) => ({
      ...{ apiVersion: 'v1', kind: 'ServiceAccount' },
      metadata: { name, namespace },
    })),
  );
  const priority = { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'impound' } };
  await cluster.apply(...namespaces, ...accounts);
  // as in the manifest: it cannot be changed
  await cluster.api('POST', '/apis/scheduling.k8s.io/v1/priorityclasses', { ...priority, value: 900_000_000 });
  return cluster;
}

/** Standard output and error; kubectl prints the server's warnings there. */
function apply(cluster: Cluster, ...words: readonly string[]): Promise<string> {
  const command = [KUBECTL, '--kubeconfig', cluster.admin.kubeconfig, 'apply', '--server-side', ...words];
  return cluster.run('control', ['sh', '-c', 'exec "$@" 2>&1', 'sh', ...command]);
}

async function podsOf(cluster: Cluster): Promise<ReadonlyMap<string, Template>> {
  const yaml = await cluster.run('control', [KUBECTL, 'kustomize', await overlay()]);
  const templates = documentsOf<Manifest>(yaml).flatMap(({ metadata, spec }) =>
    spec?.template === undefined ? [] : [[metadata.name, spec.template] as const],
  );
  return new Map(templates);
}

let written: Promise<string> | undefined;
function overlay(): Promise<string> {
  written ??= writeOverlay(folder);
  return written;
}

/** Undefined where a namespace of that level takes the pod; else what it has against it. */
async function violations(cluster: Cluster, level: string, { metadata, spec }: Template): Promise<readonly string[]> {
  const pod = { metadata: { ...metadata, name: 'tried' }, spec };
  const said = await cluster.api('POST', `/api/v1/namespaces/${level}/pods?dryRun=All`, pod).then(
    () => '',
    (error: unknown) => String(error),
  );
  if (said === '') return [];
  const list = /violates PodSecurity \\?"[a-z]+:latest\\?": ([^}]*?)","reason"/.exec(said)?.[1];
  assert.ok(list !== undefined, said);
  return listOf(list.replaceAll('\\"', '"'));
}

/** "a (x, y), b (z)" */
function listOf(violations: string): readonly string[] {
  return violations.split(/(?<=\)), /).sort();
}

scenario('all of it is taken, and the one warning is of the agent', async (cluster) => {
  const base = await overlay();
  assert.match(
    await apply(cluster, '-f', `${base}/manifests/base/namespace.yaml`),
    /^namespace\/impound-system [a-z-]+\n$/,
  );
  for (const components of [[], ...COMPONENTS.map((name) => [name])]) {
    const from = components.length === 0 ? base : await writeOverlay(folder, components);
    const lines = (await apply(cluster, '--dry-run=server', '-k', from)).trim().split('\n');
    const warnings = lines.filter((line) => !line.endsWith('serverside-applied (server dry run)'));
    assert.ok(lines.length - warnings.length >= 30, lines.join('\n'));
    assert.equal(warnings.length, 1, lines.join('\n'));
    const [, list = ''] =
      /^Warning: would violate PodSecurity "restricted:latest": (.*)$/.exec(warnings[0] ?? '') ?? [];
    assert.deepEqual(listOf(list), [...RESTRICTED].sort());
  }
});

scenario('the controller’s pod is taken where the strictest level is enforced', async (cluster) => {
  const controller = (await podsOf(cluster)).get('impound-controller');
  assert.ok(controller !== undefined);
  for (const level of LEVELS) assert.deepEqual(await violations(cluster, level, controller), [], level);
});

scenario('the agent’s is refused for what its manifest explains, and for nothing else', async (cluster) => {
  const agent = (await podsOf(cluster)).get('impound-agent');
  assert.ok(agent !== undefined);
  assert.deepEqual(await violations(cluster, 'baseline', agent), [...BASELINE].sort());
  assert.deepEqual(await violations(cluster, 'restricted', agent), [...RESTRICTED].sort());
});

scenario('the namespace enforces the level that stands in its manifest', async (cluster) => {
  const { metadata } = (await cluster.api('GET', `/api/v1/namespaces/${NAMESPACE}`)) as {
    readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  };
  const modes = ['enforce', 'audit', 'warn'].map((mode) => metadata.labels[`pod-security.kubernetes.io/${mode}`]);
  assert.deepEqual(modes, ['privileged', 'restricted', 'restricted']);
});
