// What keeps objects as they are after they were stored: Object Lock, a legal hold, encryption with a key.
import { ImpoundError } from '../../errors.ts';

/** What the store shall add to each object. */
export interface Protection {
  /** No version can be removed before its time: by nobody (COMPLIANCE), or by who has a permission of its own. */
  readonly retention?: { readonly mode: 'COMPLIANCE' | 'GOVERNANCE'; readonly days: number };
  /** Until somebody with the permission lifts it. */
  readonly legalHold?: true;
  /** Encryption by the store with this KMS key (ARN, ID or alias). */
  readonly kmsKey?: string;
}

const DAY_MILLISECONDS = 86_400_000;

/** Of a request that makes an object: its days begin now. */
export function protectionFields({ retention, legalHold, kmsKey }: Protection = {}) {
  const until = retention === undefined ? undefined : new Date(Date.now() + retention.days * DAY_MILLISECONDS);
  return {
    ...(retention === undefined ? {} : { ObjectLockMode: retention.mode, ObjectLockRetainUntilDate: until }),
    ...(legalHold === true ? { ObjectLockLegalHoldStatus: 'ON' as const } : {}),
    ...(kmsKey === undefined ? {} : { ServerSideEncryption: 'aws:kms' as const, SSEKMSKeyId: kmsKey }),
  };
}

export function needsLock({ retention, legalHold }: Protection = {}): boolean {
  return retention !== undefined || legalHold !== undefined;
}

export function unlocked(bucket: string): ImpoundError {
  return new ImpoundError(
    'store-unlocked',
    `${bucket} has no Object Lock, and it was asked for: make the bucket with it, or leave --retain and --legal-hold away`,
    { operation: 'prepare store', thing: bucket },
  );
}
