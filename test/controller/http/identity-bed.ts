// A bed with Impound's manifests where the controller asks the real API server who somebody is, in its own name.

import { createSign } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { type IdentitiesOptions, identities, type RefusalReason } from '../../../controller/http/identities.ts';
import type { Identities, PersonIdentity } from '../../../controller/http/identity.ts';
import { Problem } from '../../../controller/http/problem.ts';
import { type Kubernetes, kubernetes } from '../../../kubernetes/client.ts';
import { type Cluster, type Pod, startCluster } from '../../testbed/cluster.ts';
import { API_FILES } from '../../testbed/manifests.ts';

export const NAMESPACE = 'impound-system';
export const AUDIENCE = 'impound-controller';
const SLEEP = 'exec sleep 1000000';

export interface IdentityBed {
  readonly cluster: Cluster;
  /** As the controller's service account, with what its role allows. */
  readonly api: Kubernetes;
  /** An agent's pod on the bed's node, as the manifests will have it: its service account is what matters. */
  agentPod(name: string, serviceAccount?: string): Promise<Pod>;
  /** The token that the kubelet would project into this pod. */
  agentToken(pod: string): Promise<string>;
  /** A token of the API server's own audience, of somebody with these roles. */
  personToken(name: string, ...roles: readonly string[]): Promise<string>;
  /** Signed by the API server's own key: what it would say of `claims`. */
  signed(claims: object): Promise<string>;
}

export async function startIdentityBed(): Promise<IdentityBed> {
  const cluster = await startCluster({ after }, { nodes: 1 });
  await cluster.kubectl('apply', '--server-side', ...API_FILES);
  await cluster.kubectl('wait', '--for=condition=Established', '--timeout=20s', 'crd/nodecaptures.impound.dev');
  const token = await cluster.token(`${NAMESPACE}/impound-controller`);
  const api = kubernetes({
    server: new URL(`https://${await cluster.reach('control', '127.0.0.1:16443')}`),
    tls: { ca: await readFile(cluster.admin.ca) },
    headers: async () => ({ authorization: `Bearer ${token}` }),
  });
  after(() => api.close());
  return {
    cluster,
    api,
    agentPod: (name, serviceAccountName = 'impound-agent') =>
      cluster.pod(name, SLEEP, { namespace: NAMESPACE, spec: { serviceAccountName } }),
    agentToken: (pod) => cluster.token(`${NAMESPACE}/impound-agent`, { audience: AUDIENCE, pod }),
    async personToken(name, ...roles) {
      await cluster.apply(
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'default' } },
        ...roles.map((role) => ({
          ...{ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding' },
          metadata: { name: `${name}-${role}` },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
          subjects: [{ kind: 'ServiceAccount', name, namespace: 'default' }],
        })),
      );
      return cluster.token(name);
    },
    async signed(claims) {
      const key = await readFile(join(dirname(cluster.admin.key), 'sa.key'));
      return tokenSignedBy(key, claims);
    },
  };
}

/** A JSON Web Token, RS256, that names no key. */
export function tokenSignedBy(key: string | Buffer, claims: object): string {
  const head = [{ alg: 'RS256', typ: 'JWT' }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url'),
  );
  const signature = createSign('RSA-SHA256').update(head.join('.')).sign(key).toString('base64url');
  return `${head.join('.')}.${signature}`;
}

export function claimsIn(token: string): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
}

export interface Asking extends Identities {
  readonly refusals: RefusalReason[];
  /** TokenReviews and SubjectAccessReviews that were sent. */
  readonly reviews: () => number;
  /** Moves its clock forward. */
  pass(seconds: number): void;
}

/** Identities of their own, with a clock of their own; uids are asked of the API server. */
export function asking({ api }: IdentityBed, more: Partial<IdentitiesOptions> = {}): Asking {
  const refusals: RefusalReason[] = [];
  let [shift, reviews] = [0, 0];
  const counted: Kubernetes = {
    ...api,
    create: (path, body, ask) => {
      reviews++;
      return api.create(path, body, ask);
    },
  };
  const uidAt = (path: string) => async (name: string) => {
    const object = await api.get<{ readonly metadata: { readonly uid: string } }>(`${path}/${name}`).catch((error) => {
      if (error.code === 'api-missing') return undefined;
      throw error;
    });
    return object?.metadata.uid;
  };
  const made = identities({
    ...{ api: counted, namespace: NAMESPACE, refused: (reason) => void refusals.push(reason) },
    clock: { now: () => new Date(Date.now() + shift) },
    nodeUid: uidAt('/api/v1/nodes'),
    podUid: uidAt(`/api/v1/namespaces/${NAMESPACE}/pods`),
    ...more,
  });
  return {
    ...made,
    refusals,
    reviews: () => reviews,
    pass(seconds) {
      shift += seconds * 1000;
    },
  };
}

/** "401 unauthenticated", or what else became of it. */
export async function refusalOf(asked: Promise<unknown>): Promise<string> {
  try {
    return `nothing was refused: ${JSON.stringify(await asked)}`;
  } catch (error) {
    return error instanceof Problem ? `${error.status} ${error.problem}` : String(error);
  }
}

export type { PersonIdentity };
