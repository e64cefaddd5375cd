// Whom the NetworkPolicies let through, as they are written: the tests' cluster has a network that enforces none.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readManifests } from '../protocol/rights.ts';
import { BASE } from '../testbed/manifests.ts';

interface Rule {
  readonly ports?: readonly { readonly port: number | string; readonly protocol?: string }[];
  readonly from?: readonly object[];
  readonly to?: readonly object[];
}

interface Policy {
  readonly podSelector: { readonly matchLabels?: Readonly<Record<string, string>> };
  readonly policyTypes: readonly string[];
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
}

interface Workload {
  readonly template: {
    readonly metadata: { readonly labels: Readonly<Record<string, string>> };
    readonly spec: {
      readonly hostNetwork?: boolean;
      readonly containers: readonly {
        readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
      }[];
    };
  };
}

const [network, controllers, agents] = await Promise.all(
  ['network', 'controller', 'agent'].map((name) => readManifests(join(BASE, `${name}.yaml`))),
);
const policies = new Map((network ?? []).map(({ metadata, spec }) => [metadata.name, spec as unknown as Policy]));
const workload = (manifests: typeof network, wanted: string): Workload =>
  (manifests?.find(({ kind }) => kind === wanted)?.spec as unknown as Workload | undefined) ?? assert.fail(wanted);
const { template } = workload(controllers, 'Deployment');
const named = new Map(
  template.spec.containers.flatMap(({ ports = [] }) => ports.map((one) => [one.name, one.containerPort])),
);

/** "443/TCP" of every rule, wherever it comes from or leads to; each has to name its ports. */
function opened(rules: readonly Rule[] = []): ReadonlySet<string> {
  return new Set(
    rules.flatMap(({ ports = [{ port: 'any' }] }) =>
      ports.map(
        ({ port, protocol = 'TCP' }) => `${typeof port === 'string' ? (named.get(port) ?? port) : port}/${protocol}`,
      ),
    ),
  );
}

test('what no policy lets through is denied to every pod of the namespace, in and out', () => {
  assert.deepEqual(policies.get('default-deny'), { podSelector: {}, policyTypes: ['Ingress', 'Egress'] });
  assert.deepEqual([...policies.keys()], ['default-deny', 'impound-controller']);
});

test('the controller is reached at its one port, and reaches names, the API server, store, KMS and authorities', () => {
  const policy = policies.get('impound-controller');
  assert.ok(policy !== undefined);
  for (const [name, value] of Object.entries(policy.podSelector.matchLabels ?? assert.fail()))
    assert.equal(template.metadata.labels[name], value, 'it is of the controller’s pods');
  assert.deepEqual([...opened(policy.ingress)], ['8443/TCP']);
  // 443: the API server's service, S3, KMS, STS, time stamps; 6443: the API server behind its service
  assert.deepEqual([...opened(policy.egress)], ['53/UDP', '53/TCP', '443/TCP', '6443/TCP']);
});

test('agents are on their nodes’ network, where no NetworkPolicy counts: they listen nowhere', () => {
  const { spec } = workload(agents, 'DaemonSet').template;
  assert.equal(spec.hostNetwork, true);
  assert.deepEqual(
    spec.containers.flatMap(({ ports = [] }) => ports),
    [],
  );
});
