// What a store in S3 shall add to each object, read from the words of a command.
import { parseS3Url, type S3Protection } from '../evidence/index.ts';
import type { ProtectionArguments } from './commands/store-options.ts';
import { usage } from './usage.ts';

/** A hundred years: more is a slip of the finger that nobody can take back. */
const MAX_RETAIN_DAYS = 36_500;

/** Of a directory none of it can be had, which is said rather than passed over. */
export function protectionOf(
  store: string,
  { retain, lockMode, legalHold, sseKms }: ProtectionArguments,
): S3Protection {
  const asked = retain !== undefined || legalHold || sseKms !== undefined;
  if (asked && parseS3Url(store) === undefined)
    throw usage('--retain, --legal-hold and --sse-kms are for a store in S3: a directory has none of them');
  if (retain !== undefined && !(Number.isInteger(retain) && retain >= 1 && retain <= MAX_RETAIN_DAYS))
    throw usage(`--retain ${retain}: give whole days from 1 to ${MAX_RETAIN_DAYS}`);
  return {
    ...(retain === undefined ? {} : { retention: { mode: lockMode, days: retain } }),
    ...(legalHold ? { legalHold } : {}),
    ...(sseKms === undefined ? {} : { kmsKey: sseKms }),
  };
}
