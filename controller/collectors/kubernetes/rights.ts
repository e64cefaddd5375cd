// What the pods' service accounts, and the node itself, may do: the bindings that name them, and the roles in these.
import type { Answers, Row } from './ask.ts';
import { segment } from './owners.ts';
import type { Account } from './survey.ts';

const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const AT_ONCE = 8;

interface Subject {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

interface Binding extends Row {
  readonly subjects?: readonly Subject[];
  readonly roleRef?: { readonly kind: string; readonly name: string };
}

/** Bindings as they come, then each role once. */
export async function* rightRows(
  { object, objects }: Answers,
  node: string,
  accounts: Iterable<Account>,
): AsyncGenerator<object> {
  const names = namesOf(node, accounts);
  const roles = new Map<string, { readonly what: string; readonly path: string }>();
  for (const resource of ['clusterrolebindings', 'rolebindings']) {
    for await (const row of objects({ what: resource, path: `${RBAC}/${resource}` })) {
      const binding: Binding = row;
      if (!(binding.subjects ?? []).some((subject) => names.has(nameOf(subject, row.metadata.namespace)))) continue;
      yield row;
      const { kind, name = '' } = binding.roleRef ?? {};
      const { namespace = '' } = row.metadata;
      const source =
        kind === 'Role'
          ? {
              what: `roles ${namespace}/${name}`,
              path: `${RBAC}/namespaces/${segment(namespace)}/roles/${segment(name)}`,
            }
          : { what: `clusterroles ${name}`, path: `${RBAC}/clusterroles/${segment(name)}` };
      roles.set(source.path, source);
    }
  }
  const waiting = [...roles.values()];
  while (waiting.length > 0) {
    const found = await Promise.all(waiting.splice(0, AT_ONCE).map((source) => object(source)));
    for (const role of found) if (role !== undefined) yield role;
  }
}

/** As the authorizer knows them (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-subjects). */
function namesOf(node: string, accounts: Iterable<Account>): ReadonlySet<string> {
  const names = new Set([`User system:node:${node}`, 'Group system:nodes', 'Group system:authenticated']);
  for (const { namespace, name } of accounts) {
    names.add(`User system:serviceaccount:${namespace}:${name}`);
    names.add(`Group system:serviceaccounts:${namespace}`);
    names.add('Group system:serviceaccounts');
  }
  return names;
}

/** A RoleBinding's account without a namespace is in the binding's own. */
function nameOf({ kind, name, namespace }: Subject, own = ''): string {
  return kind === 'ServiceAccount' ? `User system:serviceaccount:${namespace ?? own}:${name}` : `${kind} ${name}`;
}
