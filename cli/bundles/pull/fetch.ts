// Fetches one file: what an earlier try left is hashed and gone on from, and only what is as the chain says is kept.
import type { FileHandle } from 'node:fs/promises';
import { ImpoundError, type Sha256Stream, type Store, sha256Stream } from '../../../evidence/index.ts';
import type { PartialFile, PullFolder } from './folder.ts';
import type { WantedFile } from './plan.ts';

const CHUNK_BYTES = 1024 * 1024;

export type Fetched =
  | { readonly kind: 'fetched' }
  /** It was there already, whole. */
  | { readonly kind: 'kept' }
  /** The store's bytes are not those of the chain: nothing of them was kept. */
  | { readonly kind: 'altered'; readonly expected: string; readonly found: string }
  /** Another file stands in its place, and stays. */
  | { readonly kind: 'occupied' };

/** `progress` is told of bytes that need not be fetched any more, from wherever they came. */
export async function fetchFile(
  store: Store,
  folder: PullFolder,
  file: WantedFile,
  progress: (bytes: number) => void,
): Promise<Fetched> {
  const { path, size, sha256 } = file;
  const existing = await folder.existing(path);
  if (existing !== undefined) {
    try {
      const same =
        existing.size === size && (sha256 === undefined || (await digestOf(existing.handle, size)) === sha256);
      progress(size);
      return { kind: same ? 'kept' : 'occupied' };
    } finally {
      await existing.handle.close();
    }
  }
  const partial = await folder.partial(path);
  const digest = sha256Stream();
  let ended = false;
  try {
    await receive(store, file, { partial, digest, progress });
    ended = true;
    const found = await digest.hex();
    if (sha256 !== undefined && found !== sha256) {
      await partial.discard();
      return { kind: 'altered', expected: sha256, found };
    }
    return { kind: (await partial.publish()) ? 'fetched' : 'occupied' };
  } catch (error) {
    if (!ended) {
      digest.abandon();
      await partial.close();
    }
    throw error;
  }
}

interface Receiver {
  readonly partial: PartialFile;
  readonly digest: Sha256Stream;
  readonly progress: (bytes: number) => void;
}

async function receive(store: Store, { path, size, record }: WantedFile, receiver: Receiver): Promise<void> {
  const { partial, digest, progress } = receiver;
  let position = 0;
  if (partial.size > size) await partial.handle.truncate(0);
  else if (partial.size > 0) {
    await hashInto(digest, partial.handle, partial.size);
    position = partial.size;
    progress(position);
  }
  if (position === size && size > 0) return;
  for await (const chunk of store.read(path, { start: position, versionId: record?.versionId })) {
    // more than the store listed: its end might never come
    if (position + chunk.length > size)
      throw new ImpoundError('content-damaged', `${path} has more than the ${size} bytes that the store listed`, {
        operation: 'pull',
        thing: path,
      });
    await Promise.all([digest.update(chunk), writeAt(partial.handle, chunk, position)]);
    position += chunk.length;
    progress(chunk.length);
  }
}

async function writeAt(handle: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, written, chunk.length - written, position + written);
    written += bytesWritten;
  }
}

async function digestOf(handle: FileHandle, size: number): Promise<string> {
  const digest = sha256Stream();
  try {
    await hashInto(digest, handle, size);
    return await digest.hex();
  } finally {
    digest.abandon();
  }
}

/** Chunks are not used again, see Sha256Stream. */
async function hashInto(digest: Sha256Stream, handle: FileHandle, size: number): Promise<void> {
  for (let position = 0; position < size; ) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(CHUNK_BYTES), 0, CHUNK_BYTES, position);
    if (bytesRead === 0) return;
    await digest.update(buffer.subarray(0, Math.min(bytesRead, size - position)));
    position += bytesRead;
  }
}
