// Opens a store in S3, or tries one. The AWS client costs 0.1 s to load: it is loaded when a store is opened, not with the
// room.
import type { StoreCheck } from './check.ts';
import type { ProbeOptions } from './s3/check-probe.ts';
import type { S3StoreOptions } from './s3/store.ts';
import type { Store } from './store.ts';

export type { Protection as S3Protection } from './s3/protection.ts';

export async function openS3Store(options: S3StoreOptions): Promise<Store> {
  const { S3Store } = await import('./s3/store.ts');
  return new S3Store(options);
}

/** Tries all that evidence needs of a bucket: `s3/check.ts`. */
export async function checkS3Store(options: ProbeOptions): Promise<StoreCheck> {
  const { checkS3 } = await import('./s3/check.ts');
  return checkS3(options);
}
