// Many small chunks as few large ones: each chunk costs a turn through compression, hashing and the store.

/** Chunks of at least `size` bytes, but for the last; larger ones pass as they are. */
export async function* coalesce(source: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let pending: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of source) {
    pending.push(chunk);
    bytes += chunk.length;
    if (bytes < size) continue;
    yield pending.length === 1 ? chunk : Buffer.concat(pending, bytes);
    pending = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(pending, bytes);
}
