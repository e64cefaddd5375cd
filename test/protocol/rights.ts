// What roles allow, as manifests/base/rbac.yaml writes it, and which of it requests have made use of.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import type { Answer, Ask, Method, Who } from './ask.ts';

export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly resourceNames?: readonly string[];
    readonly verbs: readonly string[];
  }[];
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly automountServiceAccountToken?: boolean;
  readonly roleRef?: { readonly kind: string; readonly name: string };
  readonly subjects?: readonly { readonly kind: string; readonly name: string; readonly namespace?: string }[];
}

export async function readManifests(path: string): Promise<readonly Manifest[]> {
  const documents = parseAllDocuments(await readFile(path, 'utf8'));
  return documents.map((document) => {
    assert.deepEqual([...document.errors, ...document.warnings], []);
    return document.toJS() as Manifest;
  });
}

/** Each single right of each role: "impound-responder: create nodecaptures". */
export function rightsOf(manifests: readonly Manifest[]): readonly string[] {
  return manifests.flatMap(({ metadata, rules = [] }) =>
    rules.flatMap(({ resources, verbs }) =>
      resources.flatMap((resource) => verbs.map((verb) => `${metadata.name}: ${verb} ${resource}`)),
    ),
  );
}

export interface Person {
  readonly who: Who;
  /** Names of the roles that are bound to them. */
  readonly roles: readonly string[];
}

export interface Asking {
  /** The answer, whatever it is; a right that let it through is used. */
  as(person: Person, method: Method, path: string, body?: object): Promise<Answer>;
  /** A right that another component asks for by name. */
  uses(person: Person, right: string): void;
  readonly used: ReadonlySet<string>;
}

export function askingWith(ask: Ask): Asking {
  const used = new Set<string>();
  const uses = ({ roles }: Person, right: string): void => {
    for (const role of roles) used.add(`${role}: ${right}`);
  };
  return {
    used,
    uses,
    async as(person, method, path, body) {
      const answer = await ask(person.who, method, path, body);
      if (!refusedByRoles(answer)) uses(person, rightOf(method, path));
      return answer;
    },
  };
}

/** By RBAC, not by a policy. */
export function refusedByRoles({ status, message }: Answer): boolean {
  return status === 403 && / cannot [a-z]+ resource "/.test(message);
}

const VERBS = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' } as const;

function rightOf(method: Method, path: string): string {
  const [place = '', query = ''] = path.split('?');
  const words = place.replace(/^\/(api\/[^/]+|apis\/[^/]+\/[^/]+)\/(namespaces\/[^/]+\/)?/, '').split('/');
  const [resource, name, subresource] = words;
  const read = query.includes('watch=') ? 'watch' : name === undefined ? 'list' : 'get';
  const verb = method === 'GET' ? read : VERBS[method];
  return `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`;
}

/** "GROUP/RESOURCE[/SUBRESOURCE][ NAMESPACE[ NAME]]", with "core" for the group without a name. */
export function reviewOf(target: string, verb: string): object {
  const [path = '', namespace, name] = target.split(' ');
  const [group, resource, subresource] = path.split('/');
  return {
    verb,
    group: group === 'core' ? '' : group,
    resource,
    ...(subresource === undefined ? {} : { subresource }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
  };
}
