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
    'core/configmaps impound-system',
    'impound.dev/nodecaptures/trigger',
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

/** Why nothing goes on. */
const SEES = {
  'core/pods impound-system': 'list',
  'coordination.k8s.io/leases impound-system impound-controller': 'get',
  'apps/daemonsets impound-system impound-agent': 'get',
};
const TO_THE_CONTROLLER = {
  'core/pods impound-system': 'list',
  'core/pods/portforward impound-system': 'create get',
  'core/configmaps impound-system impound-ca': 'get',
};
/** One of ours; others it may not read. */
const POLICY = 'admissionregistration.k8s.io/validatingadmissionpolicies  requester.nodecaptures.impound.dev';
const BINDING = 'admissionregistration.k8s.io/validatingadmissionpolicybindings  requester.nodecaptures.impound.dev';
const RESPONDER = {
  [NODE_CAPTURES]: 'create get list watch patch update',
  ...{ 'core/nodes': 'get list', ...SEES, ...TO_THE_CONTROLLER },
  ...{ [POLICY]: 'get', [BINDING]: 'get' },
};

/** By user: verbs, in the order above, by "GROUP/RESOURCE[/SUBRESOURCE][ NAMESPACE[ NAME]]"; an empty namespace is none. */
export const MAY: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  nobody: NOBODYS,
  rita: RESPONDER,
  carl: { ...RESPONDER, [`${NODE_CAPTURES}/containment`]: 'contain' },
  rolf: {
    [NODE_CAPTURES]: 'get list watch patch update delete',
    [`${NODE_CAPTURES}/release`]: 'update',
  },
  anna: { [NODE_CAPTURES]: 'get list', [`${NODE_CAPTURES}/bundle`]: 'get', ...TO_THE_CONTROLLER },
  audrey: { [NODE_CAPTURES]: 'get list watch', ...SEES },
  'system:serviceaccount:impound-system:impound-agent': {},
  'system:serviceaccount:impound-system:impound-controller': {
    [NODE_CAPTURES]: 'list watch patch',
    [`${NODE_CAPTURES}/status`]: 'patch',
    [`${NODE_CAPTURES}/finalizers`]: 'update',
    'core/nodes': 'get list watch patch',
    'core/pods default': 'list',
    'core/pods impound-system': 'get list watch',
    'core/events default': 'create list patch',
    'core/events impound-system': 'list',
    'core/serviceaccounts default': 'get',
    'apps/replicasets default': 'get',
    'apps/deployments default': 'get',
    'apps/daemonsets impound-system': 'get',
    'apps/daemonsets impound-system impound-agent': 'get',
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
    ...{ [POLICY]: 'list', [BINDING]: 'list' },
    'authentication.k8s.io/tokenreviews': 'create',
    'authorization.k8s.io/subjectaccessreviews': 'create',
    'coordination.k8s.io/leases impound-system': 'create',
    'coordination.k8s.io/leases impound-system impound-controller': 'create get patch',
    'coordination.k8s.io/leases impound-system another': 'create',
    'coordination.k8s.io/leases kube-node-lease node1': 'get',
  },
};

const COLLECTOR = 'the collector "kubernetes": test/manifests/audit.test.ts';

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
