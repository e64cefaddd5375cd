// The cluster's DNS service: CoreDNS as a process beside the control plane, behind a service as any other.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Api } from './api.ts';
import type { Daemon } from './daemon.ts';
import { CONTROL_ADDRESS, DNS_SERVICE } from './network.ts';
import type { Pki } from './pki.ts';
import type { Place } from './place.ts';

const USER = 'system:coredns';
/** What programs on a node ask for names, as pods do. */
export const RESOLVER = `search default.svc.cluster.local svc.cluster.local cluster.local
nameserver ${DNS_SERVICE}
options ndots:5
`;

export async function startDns(place: Place, folder: string, pki: Pki, program: string, api: Api): Promise<Daemon> {
  const config = join(folder, 'Corefile');
  const kubeconfig = await pki.kubeconfig('coredns', `/CN=${USER}`);
  await writeFile(
    config,
    `.:53 {\n  errors\n  kubernetes cluster.local in-addr.arpa {\n    kubeconfig ${kubeconfig}\n    ttl 1\n  }\n}\n`,
  );
  await Promise.all([
    api('POST', '/apis/rbac.authorization.k8s.io/v1/clusterroles', ROLE),
    api('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', BINDING),
    api('POST', '/api/v1/namespaces/kube-system/services', SERVICE),
    api('POST', '/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices', ENDPOINTS),
  ]);
  return await place.start('coredns', program, ['-conf', config]);
}

const ROLE = {
  metadata: { name: USER },
  rules: [
    { apiGroups: [''], resources: ['services', 'namespaces'], verbs: ['list', 'watch'] },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
  ],
};
const BINDING = {
  metadata: { name: USER },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: USER },
  subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: USER }],
};
const PORTS = [
  { name: 'dns', port: 53, protocol: 'UDP' },
  { name: 'dns-tcp', port: 53, protocol: 'TCP' },
];
const SERVICE = { metadata: { name: 'kube-dns' }, spec: { clusterIP: DNS_SERVICE, ports: PORTS } };
const ENDPOINTS = {
  metadata: { name: 'kube-dns', labels: { 'kubernetes.io/service-name': 'kube-dns' } },
  addressType: 'IPv4',
  ports: PORTS,
  endpoints: [{ addresses: [CONTROL_ADDRESS], conditions: { ready: true } }],
};
