// The thread behind hash.ts: running SHA-256 digests by number, over slots of shared memory.
import { createHash, type Hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

export type HashRequest =
  | { readonly kind: 'open'; readonly id: number; readonly slots: SharedArrayBuffer }
  | {
      readonly kind: 'update';
      readonly id: number;
      readonly slot: number;
      readonly offset: number;
      readonly length: number;
    }
  | { readonly kind: 'memory'; readonly id: number; readonly slots: SharedArrayBuffer }
  | { readonly kind: 'end'; readonly id: number };

export type HashReply =
  | { readonly kind: 'free'; readonly id: number; readonly slot: number }
  | { readonly kind: 'digest'; readonly id: number; readonly hex: string };

const running = new Map<number, { readonly digest: Hash; slots: SharedArrayBuffer }>();

parentPort?.on('message', (request: HashRequest) => {
  const { id } = request;
  if (request.kind === 'open') {
    running.set(id, { digest: createHash('sha256'), slots: request.slots });
    return;
  }
  const stream = running.get(id);
  if (stream === undefined) return;
  if (request.kind === 'memory') {
    stream.slots = request.slots;
  } else if (request.kind === 'update') {
    stream.digest.update(new Uint8Array(stream.slots, request.offset, request.length));
    reply({ kind: 'free', id, slot: request.slot });
  } else {
    running.delete(id);
    reply({ kind: 'digest', id, hex: stream.digest.digest('hex') });
  }
});

function reply(message: HashReply): void {
  parentPort?.postMessage(message);
}
