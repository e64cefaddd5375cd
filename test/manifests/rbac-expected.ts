// What each role allows, written down a second time, for manifests/base/rbac.yaml to be compared with.

export const VERBS = [
  'create',
  'get',
  'list',
  'watch',
  'patch',
  'update',
  'delete',
  'deletecollection',
  'contain',
  'escalate',
  'impersonate',
] as const;

const NODE_CAPTURES = 'impound.dev/nodecaptures';
/** Nobody's: what would give more than it seems, or everything. */
const NOBODYS = Object.fromEntries(
  [
    'core/secrets impound-system',
    'core/secrets default',
    'core/pods/exec default',
    'core/pods/log default',
    'core/nodes/proxy',
    'core/configmaps default',
    'core/configmaps kube-system',
    'core/serviceaccounts/token impound-system',
    'core/users',
    'coordination.k8s.io/leases impound-system another',
    'coordination.k8s.io/leases kube-system',
    'apps/daemonsets impound-system',
    'rbac.authorization.k8s.io/clusterroles',
    'rbac.authorization.k8s.io/clusterrolebindings',
    'admissionregistration.k8s.io/validatingadmissionpolicies',
    'admissionregistration.k8s.io/validatingadmissionpolicybindings',
    'apiextensions.k8s.io/customresourcedefinitions',
    'certificates.k8s.io/certificatesigningrequests',
  ].map((target) => [target, '']),
);

/** By user: verbs, in the order above, by "GROUP/RESOURCE[/SUBRESOURCE][ NAMESPACE[ NAME]]". */
export const MAY: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  nobody: NOBODYS,
  rita: { [NODE_CAPTURES]: 'create get list watch patch update' },
  carl: {
    [NODE_CAPTURES]: 'create get list watch patch update',
    [`${NODE_CAPTURES}/containment`]: 'contain',
  },
  rolf: {
    [NODE_CAPTURES]: 'get list watch patch update delete',
    [`${NODE_CAPTURES}/release`]: 'update',
  },
  anna: { [NODE_CAPTURES]: 'get list', [`${NODE_CAPTURES}/bundle`]: 'get' },
  audrey: { [NODE_CAPTURES]: 'get list watch' },
  'system:serviceaccount:impound-system:impound-agent': {},
  'system:serviceaccount:impound-system:impound-controller': {
    [NODE_CAPTURES]: 'create get list watch patch update',
    [`${NODE_CAPTURES}/status`]: 'patch update',
    [`${NODE_CAPTURES}/finalizers`]: 'update',
    [`${NODE_CAPTURES}/trigger`]: 'create',
    'core/nodes': 'get list watch patch',
    'core/pods default': 'get list watch',
    'core/events default': 'create list patch',
    'core/serviceaccounts default': 'get',
    'apps/replicasets default': 'get',
    'apps/deployments default': 'get',
    'apps/daemonsets impound-system': 'get',
    'apps/statefulsets default': 'get',
    'batch/jobs default': 'get',
    'batch/cronjobs default': 'get',
    'rbac.authorization.k8s.io/clusterrolebindings': 'list',
    'rbac.authorization.k8s.io/rolebindings default': 'list',
    'rbac.authorization.k8s.io/clusterroles': 'get',
    'rbac.authorization.k8s.io/roles default': 'get',
    'networking.k8s.io/networkpolicies default': 'list',
    'admissionregistration.k8s.io/validatingwebhookconfigurations': 'list',
    'admissionregistration.k8s.io/mutatingwebhookconfigurations': 'list',
    'admissionregistration.k8s.io/validatingadmissionpolicies': 'list',
    'admissionregistration.k8s.io/validatingadmissionpolicybindings': 'list',
    'admissionregistration.k8s.io/mutatingadmissionpolicies': 'list',
    'admissionregistration.k8s.io/mutatingadmissionpolicybindings': 'list',
    'authentication.k8s.io/tokenreviews': 'create',
    'authorization.k8s.io/subjectaccessreviews': 'create',
    'coordination.k8s.io/leases impound-system': 'create get',
    'coordination.k8s.io/leases impound-system impound-controller': 'create get patch update',
    'coordination.k8s.io/leases impound-system another': 'create get',
    'coordination.k8s.io/leases kube-system': 'get',
    'coordination.k8s.io/leases kube-node-lease node1': 'get',
    'core/configmaps impound-system': 'create get list watch patch update',
  },
};

const COLLECTOR = 'the collector "kubernetes": test/controller/collectors/kubernetes.test.ts';

/** Rights that rbac.test.ts does not use itself, each with who does; as they stand in rbac.yaml. */
export const LATER: Readonly<Record<string, string>> = Object.fromEntries(
  [
    ...['list events', 'get serviceaccounts'],
    ...['get replicasets', 'get deployments', 'get daemonsets', 'get statefulsets', 'get jobs', 'get cronjobs'],
    ...['list clusterrolebindings', 'list rolebindings', 'get clusterroles', 'get roles', 'list networkpolicies'],
    ...['list validatingwebhookconfigurations', 'list mutatingwebhookconfigurations'],
    ...['list validatingadmissionpolicies', 'list validatingadmissionpolicybindings'],
    ...['list mutatingadmissionpolicies', 'list mutatingadmissionpolicybindings'],
  ].map((right) => [`impound-controller: ${right}`, COLLECTOR]),
);
