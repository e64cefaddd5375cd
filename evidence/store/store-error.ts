// What a failed system call on a store means, and what a person must do.
import { errnoOf, ImpoundError } from '../errors.ts';

export function missing(path: string, why: string): ImpoundError {
  return new ImpoundError('object-missing', `${path}: ${why}`, { operation: 'read', thing: path });
}

export function storeError(error: unknown, operation: string, thing: string): ImpoundError {
  if (error instanceof ImpoundError) return error;
  const errno = errnoOf(error);
  const context = { operation, thing, cause: error };
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return new ImpoundError(
      'store-full',
      `the store is full (${operation} ${thing}): make room or use another --store`,
      context,
    );
  }
  if (errno === 'EACCES' || errno === 'EPERM' || errno === 'EROFS') {
    return new ImpoundError('store-denied', `the store may not be written (${operation} ${thing}): ${errno}`, context);
  }
  if (errno === 'ENOTDIR' || errno === 'EEXIST') {
    return new ImpoundError('store-not-directory', `${thing} is not a directory; name a directory as --store`, context);
  }
  return new ImpoundError(
    'store-failed',
    `the store failed (${operation} ${thing}): ${errno ?? String(error)}`,
    context,
  );
}
