// What a bearer token looks like and says of itself: never believed, only used to refuse, or to forget it in time.
import { createHash } from 'node:crypto';

/** A service account's token has some 1500 characters, that of a person with many groups some thousands. */
const MAX_CHARACTERS = 12 * 1024;

export interface Claims {
  /** Seconds since 1970. */
  readonly exp: number | undefined;
  readonly audiences: readonly string[];
}

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
    return { exp: typeof exp === 'number' ? exp : undefined, audiences };
  } catch {
    return undefined;
  }
}

/** What a token is kept under, so that a dump of the memory has none of them. */
export function tokenKey(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}
