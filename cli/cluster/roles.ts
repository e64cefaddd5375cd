// What the manifests' roles for people give, as manifests/base/rbac.yaml has it: which role somebody has to ask for.
import { quoted } from './again.ts';

/** As SelfSubjectAccessReview asks; `system`: in the namespace where Impound runs. */
export interface Right {
  readonly verb: string;
  /** "impound.dev" where absent. */
  readonly group?: string;
  /** "nodecaptures" where absent. */
  readonly resource?: string;
  readonly subresource?: string;
  readonly name?: string;
  readonly system?: true;
}

export interface Role {
  readonly name: string;
  /** What the role is for. */
  readonly own: Right;
  readonly rights: readonly Right[];
}

/** Of each verb, separated by spaces. */
export const on = (verbs: string, right: Omit<Right, 'verb'> = {}): readonly Right[] =>
  verbs.split(' ').map((verb) => ({ verb, ...right }));
const system = { system: true } as const;

/** What lets somebody see why nothing goes on. */
export const SEE = {
  pods: { verb: 'list', group: '', resource: 'pods', ...system },
  lease: { verb: 'get', group: 'coordination.k8s.io', resource: 'leases', name: 'impound-controller', ...system },
  agents: { verb: 'get', group: 'apps', resource: 'daemonsets', name: 'impound-agent', ...system },
  node: { verb: 'get', group: '', resource: 'nodes' },
  nodes: { verb: 'list', group: '', resource: 'nodes' },
} as const satisfies Readonly<Record<string, Right>>;
const SEES: readonly Right[] = [SEE.pods, SEE.lease, SEE.agents];
/** The way to the controller from wherever kubectl works. */
export const TO_THE_CONTROLLER: readonly Right[] = [
  SEE.pods,
  ...on('create get', { group: '', resource: 'pods', subresource: 'portforward', ...system }),
  ...on('get', { group: '', resource: 'configmaps', name: 'impound-ca', ...system }),
];

/** Each is a ValidatingAdmissionPolicy, and the binding of that name. */
export const POLICIES = [
  'requester.nodecaptures.impound.dev',
  'containment.nodecaptures.impound.dev',
  'release.nodecaptures.impound.dev',
  'portforward.pods.impound.dev',
] as const;

export const POLICY_RIGHTS: readonly Right[] = POLICIES.flatMap((name) =>
  ['validatingadmissionpolicies', 'validatingadmissionpolicybindings'].flatMap((resource) =>
    on('get', { group: 'admissionregistration.k8s.io', resource, name }),
  ),
);

export const ROLES: readonly Role[] = [
  {
    name: 'impound-responder',
    own: { verb: 'create' },
    rights: [
      ...on('create get list watch patch update'),
      ...[SEE.node, SEE.nodes],
      ...POLICY_RIGHTS,
      ...SEES,
      ...TO_THE_CONTROLLER,
    ],
  },
  {
    name: 'impound-containment',
    own: { verb: 'contain', subresource: 'containment' },
    rights: on('contain', { subresource: 'containment' }),
  },
  {
    name: 'impound-releaser',
    own: { verb: 'update', subresource: 'release' },
    rights: [...on('get list watch patch update delete'), ...on('update', { subresource: 'release' })],
  },
  {
    name: 'impound-analyst',
    own: { verb: 'get', subresource: 'bundle' },
    rights: [...on('get list'), ...on('get', { subresource: 'bundle' }), ...TO_THE_CONTROLLER],
  },
  { name: 'impound-auditor', own: { verb: 'watch' }, rights: [...on('get list watch'), ...SEES] },
];

/** Of several rights: "create, get or list nodecaptures.impound.dev, nor …". */
export function describeRights(rights: readonly Right[], namespace: string): string {
  const byObject = Map.groupBy(rights, (right) => describeObject(right, namespace));
  return [...byObject].map(([object, some]) => `${listOf(some.map(({ verb }) => verb))} ${object}`).join(', nor ');
}

/** How an administrator gives a role to somebody: its ClusterRole, and the Role of that name where it has one. */
export function grantOf(role: string, user: string, namespace: string): string {
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user);
  const subject = account === null ? `--user=${quoted(user)}` : `--serviceaccount=${account[1]}:${account[2]}`;
  const binding = `${user.replaceAll(/[^A-Za-z0-9.-]+/g, '-')}-${role}`;
  const cluster = `kubectl create clusterrolebinding ${binding} --clusterrole=${role} ${subject}`;
  const hasRole = ROLES.some(({ name, rights }) => name === role && rights.some((right) => right.system));
  return hasRole
    ? `${cluster}; kubectl -n ${namespace} create rolebinding ${binding} --role=${role} ${subject}`
    : cluster;
}

function describeObject(
  { group = 'impound.dev', resource = 'nodecaptures', subresource, name, system: isSystem }: Right,
  namespace: string,
): string {
  const kind = `${resource}${group === '' ? '' : `.${group}`}${subresource === undefined ? '' : `/${subresource}`}`;
  return `${kind}${name === undefined ? '' : ` ${name}`}${isSystem ? ` in ${namespace}` : ''}`;
}

function listOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
