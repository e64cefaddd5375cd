// The thread behind hash.ts: running SHA-256 digests by number.
import { createHash, type Hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

/** Bytes for stream `id`; without a chunk, its end. */
export interface HashRequest {
  readonly id: number;
  readonly chunk?: Uint8Array;
}

export interface HashReply {
  readonly id: number;
  /** Bytes hashed since the last reply. */
  readonly taken?: number;
  readonly hex?: string;
}

const running = new Map<number, Hash>();

parentPort?.on('message', ({ id, chunk }: HashRequest) => {
  const digest = running.get(id) ?? createHash('sha256');
  running.set(id, digest);
  if (chunk !== undefined) {
    digest.update(chunk);
    reply({ id, taken: chunk.length });
    return;
  }
  running.delete(id);
  reply({ id, hex: digest.digest('hex') });
});

function reply(message: HashReply): void {
  parentPort?.postMessage(message);
}
