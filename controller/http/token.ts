// What a bearer token looks like and says of itself: never believed, only used to refuse, or to forget it in time.
import { createHash } from 'node:crypto';

/** A service account's token has some 1500 characters, that of a person with many groups some thousands. */
const MAX_CHARACTERS = 12 * 1024;

export interface Claims {
  /** Seconds since 1970. */
  readonly exp: number | undefined;
  readonly audiences: readonly string[];
  /** That the token is bound to, of a service account's: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/ */
  readonly node: string | undefined;
  readonly pod: string | undefined;
}

/** Of a node or a pod (RFC 1123); anything else is no name. */
const NAME = /^[a-z0-9][a-z0-9.-]{0,252}$/;

export function isToken(token: string): boolean {
  return token.length <= MAX_CHARACTERS && /^[A-Za-z0-9._~+/-]+=*$/.test(token);
}

/** Of a JSON Web Token (RFC 7519); undefined of any other. */
export function claimsOf(token: string): Claims | undefined {
  const [, payload, signature, ...more] = token.split('.');
  if (payload === undefined || signature === undefined || signature === '' || more.length > 0) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString());
    if (typeof claims !== 'object' || claims === null) return undefined;
    const { exp, aud } = claims as { readonly exp?: unknown; readonly aud?: unknown };
    const audiences = (Array.isArray(aud) ? aud : [aud]).filter((one): one is string => typeof one === 'string');
    const { node, pod } = boundTo(claims);
    return { exp: typeof exp === 'number' ? exp : undefined, audiences, node, pod };
  } catch {
    return undefined;
  }
}

function boundTo(claims: object): Pick<Claims, 'node' | 'pod'> {
  const { 'kubernetes.io': bound } = claims as {
    readonly 'kubernetes.io'?: { readonly [kind: string]: unknown } | null;
  };
  const nameOf = (kind: string): string | undefined => {
    const { name } = (bound?.[kind] ?? {}) as { readonly name?: unknown };
    return typeof name === 'string' && NAME.test(name) ? name : undefined;
  };
  return { node: nameOf('node'), pod: nameOf('pod') };
}

/** What a token is kept under, so that a dump of the memory has none of them. */
export function tokenKey(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}
