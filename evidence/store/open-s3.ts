// Opens a store in S3. The AWS client costs 0.1 s to load: it is loaded when a store is opened, not with the room.
import type { S3StoreOptions } from './s3/store.ts';
import type { Store } from './store.ts';

export type { Protection as S3Protection } from './s3/bucket.ts';

export async function openS3Store(options: S3StoreOptions): Promise<Store> {
  const { S3Store } = await import('./s3/store.ts');
  return new S3Store(options);
}
