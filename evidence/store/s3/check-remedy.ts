// What a refused request tells of a store, and what a person must do about it.
import { describeError, type ErrorCode, ImpoundError } from '../../errors.ts';
import type { CheckFinding } from '../check.ts';
import { failed } from '../check.ts';
import type { Probe } from './check-probe.ts';
import { causeOf } from './error.ts';

/** What S3 in general can, and this store does not. */
export const ANOTHER_STORE =
  'take another store: AWS S3, or a server (or a newer version of this one) that does here as AWS does';

const ON_THE_BUCKET = new Set([
  'ListBucket',
  'ListBucketVersions',
  'ListBucketMultipartUploads',
  'GetBucketObjectLockConfiguration',
]);
const REMEDIES: Partial<Readonly<Record<ErrorCode, string>>> = {
  'store-credentials': 'set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, to an identity that is valid',
  'store-missing': "see the bucket's name, --endpoint, and the account of the credentials",
  'store-region': 'give that region: --region, or AWS_REGION',
  'store-unlocked': 'turn Object Lock on for the bucket, or leave --retain and --legal-hold away',
  'store-unreachable': 'see the network, the proxy and --endpoint; a firewall must let this machine reach it',
};

/** `action` is IAM's name of what was tried, where another one than the request's own says it better. */
export function explain(error: unknown, { bucket, folder }: Probe, action?: string): CheckFinding {
  if (!(error instanceof ImpoundError)) return failed(describeError(error), ANOTHER_STORE);
  if (error.code === 'store-denied') {
    const name = action ?? error.operation;
    return failed(`s3:${name} is denied${reasonOf(error)}`, `allow this identity s3:${name} on ${where(name)}`);
  }
  return failed(error.message, REMEDIES[error.code] ?? ANOTHER_STORE);

  function where(name: string): string {
    const below = folder.replace(/\.impound-check\/.*$/, '');
    return ON_THE_BUCKET.has(name) ? `the bucket ${bucket}` : `the objects ${bucket}/${below}*`;
  }
}

/** The server's words, where they say more than no. */
export function reasonOf(error: unknown): string {
  const message = messageOf(error);
  return /^(?:access denied\.?|forbidden|unknownerror|)$/i.test(message) ? '' : `: ${message.slice(0, 300)}`;
}

/** What the server itself said. */
export function messageOf(error: unknown): string {
  const cause = causeOf(error);
  return (cause instanceof Error ? cause.message : String(cause)).trim();
}
