// Fetches one file: what an earlier try left is hashed and gone on from, and only what is as the chain says is kept.
import type { FileHandle } from 'node:fs/promises';
import { digestOf, type Store, sha256Stream } from '../../../evidence/index.ts';
import type { PartialFile, PullFolder } from './folder.ts';
import type { WantedFile } from './plan.ts';

const CHUNK_BYTES = 1024 * 1024;
const SETTLE_BYTES = 32 * 1024 * 1024;
/** In place of a digest. */
const EXCESS = 'more bytes than that';

export type Fetched =
  | { readonly kind: 'fetched' }
  /** It was there already, whole. */
  | { readonly kind: 'kept' }
  /** The store's bytes are not those of the chain: nothing of them was kept. */
  | { readonly kind: 'altered'; readonly expected: string; readonly found: string }
  /** Another file stands in its place, and stays. */
  | { readonly kind: 'occupied' };

/** Told of bytes that need not be fetched any more: they came from the store, or were here. */
export type Progress = (bytes: number, from: 'store' | 'here') => void;

export async function fetchFile(
  store: Store,
  folder: PullFolder,
  file: WantedFile,
  progress: Progress,
): Promise<Fetched> {
  const { path, size, stored, sha256 } = file;
  const existing = await folder.existing(path);
  if (existing !== undefined) {
    try {
      const same =
        existing.size === size &&
        (sha256 === undefined || (await digestOf(chunksOf(existing.handle, size))).sha256 === sha256);
      progress(size, 'here');
      if (same) await folder.forget(path);
      return { kind: same ? 'kept' : 'occupied' };
    } finally {
      await existing.handle.close();
    }
  }
  if (stored !== size) return { kind: 'altered', expected: `${size} bytes`, found: `${stored} bytes` };
  const partial = await folder.partial(path);
  try {
    let found = await receive(store, file, partial, Math.min(partial.size, size), progress);
    // what an earlier try left may be damaged here: only what came from the store now can tell against the store
    if (partial.size > 0 && differs(found, sha256)) found = await receive(store, file, partial, 0, progress);
    if (differs(found, sha256)) {
      await partial.discard();
      return { kind: 'altered', expected: sha256 ?? `${size} bytes`, found };
    }
  } catch (error) {
    await partial.close();
    throw error;
  }
  return { kind: (await partial.publish()) ? 'fetched' : 'occupied' };
}

function differs(found: string, sha256: string | undefined): boolean {
  return sha256 === undefined ? found === EXCESS : found !== sha256;
}

/** The SHA-256 of it all, or EXCESS; `keep` bytes of it are there. */
async function receive(
  store: Store,
  { path, size, record }: WantedFile,
  partial: PartialFile,
  keep: number,
  progress: Progress,
): Promise<string> {
  const digest = sha256Stream();
  try {
    if (partial.size > keep) await partial.handle.truncate(keep);
    for await (const chunk of chunksOf(partial.handle, keep)) await digest.update(chunk);
    progress(keep, 'here');
    if (keep === size && size > 0) return await digest.hex();
    const behind = writeBehind(partial, keep);
    let position = keep;
    for await (const chunk of store.read(path, { start: position, versionId: record?.versionId })) {
      position += chunk.length;
      // its end might never come
      if (position > size) break;
      await Promise.all([digest.update(chunk), behind.write(chunk)]);
      progress(chunk.length, 'store');
    }
    await behind.end();
    return position > size ? EXCESS : await digest.hex();
  } finally {
    digest.abandon();
  }
}

/** Chunks as few large writes, one of which may be on its way while more come. */
function writeBehind(partial: PartialFile, start: number) {
  let position = start;
  let pending: Uint8Array[] = [];
  let bytes = 0;
  let writing: Promise<void> = Promise.resolve();
  // the disk works while more comes, so that there is little left to wait for at the end
  let settling: Promise<void> | undefined;
  let settled = start;
  const settle = (): void => {
    if (settling !== undefined || position - settled < SETTLE_BYTES) return;
    settled = position;
    settling = partial.settle().then(() => {
      settling = undefined;
    });
    settling.catch(() => undefined); // met at the end
  };
  const flush = async (): Promise<void> => {
    await writing;
    settle();
    writing = partial.write(pending, position);
    writing.catch(() => undefined); // met by the next, or by the end
    position += bytes;
    pending = [];
    bytes = 0;
  };
  return {
    async write(chunk: Uint8Array): Promise<void> {
      pending.push(chunk);
      bytes += chunk.length;
      if (bytes >= CHUNK_BYTES) await flush();
    },
    async end(): Promise<void> {
      await flush();
      await writing;
      await settling;
    },
  };
}

/** The first `size` bytes; chunks are not used again, see Sha256Stream. */
async function* chunksOf(handle: FileHandle, size: number): AsyncGenerator<Uint8Array> {
  for (let position = 0; position < size; ) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(CHUNK_BYTES), 0, CHUNK_BYTES, position);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, Math.min(bytesRead, size - position));
    position += bytesRead;
  }
}
