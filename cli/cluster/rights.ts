// What somebody may, asked before anything is done, and whom to ask where they may not.
import { ImpoundError } from '../../evidence/index.ts';
import type { Kubernetes } from '../../kubernetes/index.ts';
import type { Connection } from './connect.ts';
import { describeRights, grantOf, type Right } from './roles.ts';

const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';

interface SelfSubjectAccessReview {
  readonly status?: { readonly allowed?: boolean };
}

/** Answers of one connection: a command asks for the same right from several sides. */
const answers = new WeakMap<Kubernetes, Map<string, Promise<boolean>>>();

/** Those of `rights` that one has not. */
export async function lacking(connection: Connection, rights: readonly Right[]): Promise<readonly Right[]> {
  const asked = await Promise.all(rights.map((right) => has(connection, right)));
  return rights.filter((_, index) => asked[index] !== true);
}

/** Undefined where one may not: what would be refused is not sent, since refusals are what an audit looks for. */
export async function ifMay<T>(connection: Connection, right: Right, ask: () => Promise<T>): Promise<T | undefined> {
  if (!(await has(connection, right))) return undefined;
  try {
    return await ask();
  } catch (error) {
    // an authorizer may know better than it said
    if (error instanceof ImpoundError && error.code === 'api-denied') return undefined;
    throw error;
  }
}

function has(
  { kubernetes, namespace }: Connection,
  { group = 'impound.dev', resource = 'nodecaptures', system, ...right }: Right,
): Promise<boolean> {
  const resourceAttributes = { group, resource, ...right, ...(system ? { namespace } : {}) };
  const known = answers.get(kubernetes) ?? new Map<string, Promise<boolean>>();
  answers.set(kubernetes, known);
  const key = JSON.stringify(Object.entries(resourceAttributes).sort());
  const answer = known.get(key) ?? review(kubernetes, resourceAttributes);
  known.set(key, answer);
  answer.catch(() => known.delete(key));
  return answer;
}

async function review(kubernetes: Kubernetes, resourceAttributes: object): Promise<boolean> {
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes },
  };
  const { status } = await kubernetes.create<SelfSubjectAccessReview>(REVIEWS, body);
  return status?.allowed === true;
}

/** Throws `api-denied`, which names every right that is missing, and a role of ours that has them all. */
export async function assertMay(connection: Connection, rights: readonly Right[], role: string): Promise<void> {
  const missing = await lacking(connection, rights);
  if (missing.length === 0) return;
  const { user, namespace } = connection;
  const message = `you are ${user}, and may not ${describeRights(missing, namespace)}. ${advice(role, user, namespace)}`;
  throw new ImpoundError('api-denied', message, { operation: 'ask what I may' });
}

/** For whoever lacks a right that this role has. */
export function advice(role: string, user: string, namespace: string): string {
  return `Ask a cluster administrator for the role ${role}: ${grantOf(role, user, namespace)}`;
}
