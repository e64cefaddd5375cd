// What somebody may, asked before anything is done, and whom to ask where they may not.
import { ImpoundError } from '../../evidence/index.ts';
import { quoted } from './again.ts';
import type { Connection } from './connect.ts';

const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
const GROUP = 'impound.dev';
const RESOURCE = 'nodecaptures';

export interface Right {
  readonly verb: 'create' | 'get' | 'list' | 'watch' | 'patch' | 'update';
  readonly subresource?: 'release' | 'bundle';
  /** Of one capture. */
  readonly name?: string;
}

interface SelfSubjectAccessReview {
  readonly status?: { readonly allowed?: boolean };
}

/** Throws `api-denied`, which names every right that is missing, and a ClusterRole that has them all. */
export async function assertMay(
  { kubernetes, user }: Connection,
  rights: readonly Right[],
  role: string,
): Promise<void> {
  const asked = await Promise.all(
    rights.map(async ({ verb, subresource, name }) => {
      const resourceAttributes = { group: GROUP, resource: RESOURCE, subresource, verb, name };
      const body = {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes },
      };
      const { status } = await kubernetes.create<SelfSubjectAccessReview>(REVIEWS, body);
      return status?.allowed === true;
    }),
  );
  const lacking = rights.filter((_, index) => asked[index] !== true);
  if (lacking.length === 0) return;
  throw new ImpoundError('api-denied', missingRights(user, lacking, role), { operation: 'ask what I may' });
}

function missingRights(user: string, lacking: readonly Right[], role: string): string {
  const byResource = Map.groupBy(lacking, ({ subresource }) => `${RESOURCE}.${GROUP}${slash(subresource)}`);
  const what = [...byResource].map(([resource, rights]) => `${listOf(rights.map(({ verb }) => verb))} ${resource}`);
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user);
  const subject = account === null ? `--user=${quoted(user)}` : `--serviceaccount=${account[1]}:${account[2]}`;
  const binding = `${user.replaceAll(/[^A-Za-z0-9.-]+/g, '-')}-${role}`;
  return `you are ${user}, and may not ${what.join(', nor ')}. Ask a cluster administrator for the ClusterRole ${role}: kubectl create clusterrolebinding ${binding} --clusterrole=${role} ${subject}`;
}

function slash(subresource: string | undefined): string {
  return subresource === undefined ? '' : `/${subresource}`;
}

function listOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
