// Asks the API server whose a token is, and remembers the answer: each token is asked about once at a time, answers are
// kept under the token's digest, and what was known is believed a while longer where the API server is silent.
import { ImpoundError, within } from '../../evidence/index.ts';
import type { Kubernetes } from '../../kubernetes/index.ts';
import type { BindingRefusal } from './binding.ts';
import { makeCache, makeShared } from './cache.ts';
import type { PersonIdentity } from './identity.ts';
import { Problem } from './problem.ts';
import { reviewToken } from './reviews.ts';
import { claimsOf, isToken, tokenKey } from './token.ts';

/** Why a call was refused, as metrics count it. */
export type RefusalReason =
  | 'missing'
  | 'malformed'
  | 'expired'
  | 'audience'
  | 'unauthenticated'
  | 'username'
  | 'unbound'
  | BindingRefusal
  | 'busy'
  | 'api-silent';

const REMEMBERED_MILLISECONDS = 60_000;
const REFUSED_MILLISECONDS = 3000;
/** Nobody is believed for longer after the last review, whatever the grace. */
export const MAX_AGE_MILLISECONDS = 600_000;
/** After a review without an answer, who is known does not wait for the next. */
export const SILENT_MILLISECONDS = 5000;
/** Who is known waits no longer for being asked again; a denial that comes later counts from then on. */
const PATIENCE_MILLISECONDS = 1000;
/** Tokens, and whatever else is remembered of them. */
export const CAPACITY = 4096;
/** Forged tokens shall not take all of the API server. */
const MAX_REVIEWS = 16;

interface Known<T> {
  readonly identity: T;
  /** Milliseconds since 1970: until when without another review, and until when in all. */
  readonly fresh: number;
  readonly until: number;
}

export interface Refusal {
  readonly reason: RefusalReason;
  readonly status: 401 | 403;
  readonly detail: string;
}

/** What is made of who the review names. */
export type Reading<T> = T | Refusal;

export interface ReviewerOptions<T> {
  readonly api: Kubernetes;
  readonly now: () => number;
  /** `token`: the one that was not taken, where it could be one. */
  readonly refuse: (reason: RefusalReason, problem: Problem, token?: string) => never;
  readonly audience: string | undefined;
  readonly grace: number;
  readonly read: (person: PersonIdentity) => Reading<T>;
}

export interface Identified<T> {
  readonly identity: T;
  /** What the token is kept under. */
  readonly key: string;
}

export interface Reviewer<T> {
  /** Throws a Problem. */
  identify(token: string | undefined): Promise<Identified<T>>;
  forget(key: string): void;
}

/** One for each kind of token, so that one kind's flood does not keep the other out. */
export function reviewer<T extends object>({
  api,
  now,
  refuse,
  audience,
  grace,
  read,
}: ReviewerOptions<T>): Reviewer<T> {
  const known = makeCache<Known<T>>(CAPACITY, now);
  const unknown = makeCache<Refusal>(CAPACITY, now);
  const share = makeShared<Known<T> | Refusal>();
  let running = 0;
  let silentUntil = 0;

  const review = async (token: string, key: string): Promise<Known<T> | Refusal> => {
    // whoever is known already is not kept out by tokens that are not
    if (running >= MAX_REVIEWS && known.get(key) === undefined)
      refuse(
        'busy',
        new Problem(429, 'too-many', 'too many tokens are being asked about: ask again', { retryAfter: 1 }),
      );
    running++;
    try {
      const asked = now();
      const person = await reviewToken(api, token, audience);
      silentUntil = 0;
      const claims = claimsOf(token);
      const reading = person === undefined ? unvouched(claims, audience, now()) : read(person);
      if (isRefusal(reading)) {
        known.delete(key);
        unknown.set(key, reading, now() + REFUSED_MILLISECONDS);
        return reading;
      }
      const end = (claims?.exp ?? Number.POSITIVE_INFINITY) * 1000;
      const fresh = Math.min(asked + REMEMBERED_MILLISECONDS, end);
      const until = Math.min(fresh + grace, asked + MAX_AGE_MILLISECONDS, end);
      const found = { identity: reading, fresh, until };
      known.set(key, found, until);
      return found;
    } catch (error) {
      if (isSilence(error)) silentUntil = now() + SILENT_MILLISECONDS;
      throw error;
    } finally {
      running--;
    }
  };

  const asked = async (token: string, key: string, cached: Known<T> | undefined): Promise<Known<T> | Refusal> => {
    const reviewed = share(key, () => review(token, key));
    try {
      if (cached === undefined) return await reviewed;
      const found = await patiently(reviewed);
      if (found !== LATE) return found;
      silentUntil = now() + SILENT_MILLISECONDS;
    } catch (error) {
      if (!isSilence(error)) throw error;
    }
    // what it was before it was asked again, unless its time has ended meanwhile
    return known.get(key) ?? refuse('api-silent', silent());
  };

  return {
    async identify(token) {
      if (token === undefined) return refuse('missing', unauthenticated('send a bearer token'));
      // a token of a service account is a JSON Web Token; a person's may be anything
      if (!isToken(token) || (audience !== undefined && claimsOf(token) === undefined))
        return refuse('malformed', unauthenticated('this is no token that could be known'));
      const key = tokenKey(token);
      const cached = known.get(key);
      if (cached !== undefined && (cached.fresh > now() || silentUntil > now()))
        return { identity: cached.identity, key };
      const found = unknown.get(key) ?? (await asked(token, key, cached));
      if (isRefusal(found)) {
        const { status, detail, reason } = found;
        return refuse(reason, status === 401 ? unauthenticated(detail) : new Problem(403, 'forbidden', detail), token);
      }
      return { identity: found.identity, key };
    },
    forget: (key) => known.delete(key),
  };
}

/** Why nobody vouches for it, as far as it says itself: for a person who looks at metrics. */
function unvouched(claims: ReturnType<typeof claimsOf>, audience: string | undefined, now: number): Refusal {
  const refusal = (reason: RefusalReason, detail: string): Refusal => ({ reason, status: 401, detail });
  if (claims?.exp !== undefined && claims.exp * 1000 <= now) return refusal('expired', 'the token has expired');
  if (claims !== undefined && audience !== undefined && !claims.audiences.includes(audience))
    return refusal('audience', `the token is not for the audience ${audience}`);
  return refusal('unauthenticated', 'nobody vouches for this token');
}

export const LATE = Symbol('late');

/** What comes of it in a second; it goes on, and what it throws later is nobody's. */
export function patiently<R>(work: Promise<R>): Promise<R | typeof LATE> {
  return within(work, PATIENCE_MILLISECONDS, (): typeof LATE => LATE);
}

function isRefusal(value: object): value is Refusal {
  return 'reason' in value && 'status' in value;
}

export function isSilence(error: unknown): boolean {
  return error instanceof ImpoundError && (error.code === 'api-unreachable' || error.code === 'api-failed');
}

function unauthenticated(detail: string): Problem {
  return new Problem(401, 'unauthenticated', detail);
}

export function silent(): Problem {
  return new Problem(503, 'unavailable', 'the API server does not answer, so nobody can be vouched for: ask again', {
    retryAfter: 2,
  });
}
