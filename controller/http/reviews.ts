// What the API server says of a token, and of a person's right: TokenReview and SubjectAccessReview
// (https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/).
import type { Kubernetes } from '../../kubernetes/index.ts';
import type { PersonIdentity } from './identity.ts';

/** Who waits for an answer of ours has less patience than the client's own time-out. */
const MILLISECONDS = 5000;
const TOKEN_REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews';
const ACCESS_REVIEWS = '/apis/authorization.k8s.io/v1/subjectaccessreviews';

interface TokenReview {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly audiences?: readonly string[];
    readonly user?: {
      readonly username?: string;
      readonly uid?: string;
      readonly groups?: readonly string[];
      readonly extra?: Readonly<Record<string, readonly string[]>>;
    };
  };
}

interface AccessReview {
  readonly status?: { readonly allowed?: boolean };
}

/** Undefined where nobody vouches for it. Without an audience: the API server's own. Throws as the client does. */
export async function reviewToken(
  api: Kubernetes,
  token: string,
  audience: string | undefined,
): Promise<PersonIdentity | undefined> {
  const spec = { token, ...(audience === undefined ? {} : { audiences: [audience] }) };
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec };
  const { status } = await api.create<TokenReview>(TOKEN_REVIEWS, body, { milliseconds: MILLISECONDS });
  const { username, uid = '', groups = [], extra = {} } = status?.user ?? {};
  if (status?.authenticated !== true || username === undefined || username === '') return undefined;
  // an authenticator that knows of no audiences names none
  if (audience !== undefined && !status.audiences?.includes(audience)) return undefined;
  return { username, uid, groups, extra };
}

export interface Right {
  readonly verb: string;
  readonly subresource: string | undefined;
  readonly name: string | undefined;
}

/** On nodecaptures. Throws as the client does. */
export async function reviewAccess(
  api: Kubernetes,
  { username, uid, groups, extra }: PersonIdentity,
  { verb, subresource, name }: Right,
): Promise<boolean> {
  const resourceAttributes = {
    ...{ group: 'impound.dev', resource: 'nodecaptures', verb },
    ...(subresource === undefined ? {} : { subresource }),
    ...(name === undefined ? {} : { name }),
  };
  const spec = { user: username, uid, groups, extra, resourceAttributes };
  const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec };
  const { status } = await api.create<AccessReview>(ACCESS_REVIEWS, body, { milliseconds: MILLISECONDS });
  return status?.allowed === true;
}
