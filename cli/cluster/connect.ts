// The connection to a cluster: who one is there, and what is wrong in words that say what to do.
import { describeError, ImpoundError } from '../../evidence/index.ts';
import { type AccessChoice, type Kubernetes, kubernetes, readAccess } from '../../kubernetes/index.ts';
import type { ClusterArguments } from '../commands/cluster-options.ts';

const REVIEWS = '/apis/authentication.k8s.io/v1/selfsubjectreviews';

export interface Connection extends AsyncDisposable {
  readonly kubernetes: Kubernetes;
  /** As the API server knows the person: `requestedBy`. */
  readonly user: string;
  readonly namespace: string;
  /** Headers by which a request is the person's own. */
  readonly headers: () => Promise<Readonly<Record<string, string>>>;
  readonly choice: AccessChoice;
}

interface SelfSubjectReview {
  readonly status?: { readonly userInfo?: { readonly username?: string } };
}

/** Throws `api-unreachable`, and `api-denied` where the credentials are not taken. */
export async function connect({ kubeconfig, context, as, namespace }: ClusterArguments): Promise<Connection> {
  const access = await readAccess(kubeconfig, { context, as });
  const client = kubernetes(access);
  try {
    const user = await whoami(client, { server: access.server.origin, context: access.context ?? '', as });
    return {
      ...{ kubernetes: client, user, namespace, choice: { kubeconfig, context, as } },
      headers: () => access.headers(),
      [Symbol.asyncDispose]: async () => client.close(),
    };
  } catch (error) {
    client.close();
    throw error;
  }
}

interface Place {
  readonly server: string;
  readonly context: string;
  readonly as: string | undefined;
}

async function whoami(client: Kubernetes, place: Place): Promise<string> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  try {
    const { status } = await client.create<SelfSubjectReview>(REVIEWS, body);
    const name = status?.userInfo?.username;
    if (name !== undefined && name !== '') return name;
  } catch (error) {
    throw explained(error, place);
  }
  throw new ImpoundError('api-failed', 'the API server does not say who you are', { operation: 'ask who I am' });
}

function explained(error: unknown, { server, context, as }: Place): unknown {
  if (!(error instanceof ImpoundError)) return error;
  const about = { operation: 'ask who I am', thing: server, cause: error };
  const where = `context ${context}, ${server}`;
  if (error.code === 'api-unreachable') {
    const why = describeError(error).replace(/^.*?: /, '');
    const message = `the API server does not answer (${where}): ${why}. Is it the right context ("kubectl config get-contexts"), and the way there open (VPN, proxy)?`;
    return new ImpoundError('api-unreachable', message, about);
  }
  if (error.code !== 'api-denied') return error;
  const told = /impersonate/.test(error.message)
    ? `you may not be "${as}" there: ask for the right "impersonate" on users, or leave --as out`
    : 'the API server does not take your credentials: they are wrong, or have expired; log in again, then "kubectl auth whoami" should tell your name';
  return new ImpoundError('api-denied', `${told} (${where})`, about);
}
