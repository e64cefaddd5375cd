// SHA-256 of streams on worker threads: hashing is the slowest step where the processor has no SHA instructions.
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { sha256 } from '../format/digest.ts';
import type { HashReply, HashRequest } from './hash-worker.ts';
import { workerScript } from './worker.ts';

/** Up to this many bytes are hashed in place: a worker's round trip costs more than the hash. */
const INLINE_BYTES = 256 * 1024;
/** Shared memory of one stream, of which a capture has dozens: a slot is filled while the others are hashed. */
const SLOTS = 4;
const SLOT_BYTES = 64 * 1024;
/** Of a stream that has shown to be large: each slot is a message, which costs as much as hashing some 64 KiB. */
const LARGE_SLOT_BYTES = 256 * 1024;
const LARGE_BYTES = 8 * 1024 * 1024;

/** A running SHA-256. Chunks given to `update` must not be changed before the first 256 KiB have been given. */
export interface Sha256Stream {
  /** Resolves when more may be given: one call at a time. */
  update(chunk: Uint8Array): Promise<void>;
  /** The digest in lower-case hex; ends the stream. */
  hex(): Promise<string>;
  /** Ends the stream without a digest: what was begun and not ended holds memory on its worker. */
  abandon(): void;
}

export function sha256Stream(): Sha256Stream {
  let head: Uint8Array[] = [];
  let headBytes = 0;
  let remote: RemoteHash | undefined;
  return {
    async update(chunk) {
      if (remote !== undefined) return remote.update(chunk);
      head.push(chunk);
      headBytes += chunk.length;
      if (headBytes < INLINE_BYTES) return;
      remote = pool().open();
      for (const early of head) await remote.update(early);
      head = [];
    },
    async hex() {
      return remote === undefined ? sha256(head.length === 1 && head[0] ? head[0] : Buffer.concat(head)) : remote.hex();
    },
    abandon() {
      head = [];
      remote?.abandon();
    },
  };
}

/** All of `content`: its bytes, and their SHA-256 in lower-case hex. Throws what reading it throws. */
export async function digestOf(
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<{ readonly size: number; readonly sha256: string }> {
  const digest = sha256Stream();
  let size = 0;
  try {
    for await (const chunk of content) {
      size += chunk.length;
      await digest.update(chunk);
    }
    return { size, sha256: await digest.hex() };
  } catch (error) {
    digest.abandon();
    throw error;
  }
}

/** A digest on a worker: chunks are copied into slots of shared memory, so that nothing is left to be collected. */
class RemoteHash {
  readonly #worker: HashWorker;
  readonly #id: number;
  #slots = new SharedArrayBuffer(SLOTS * SLOT_BYTES);
  #slotBytes = SLOT_BYTES;
  /** Number of the first slot: those of the memory before are smaller, and come back to nobody. */
  #first = 0;
  #free = Array.from({ length: SLOTS }, (_, slot) => slot);
  /** The slot that is being filled. */
  #filling: number | undefined;
  #filled = 0;
  #total = 0;
  readonly #result = Promise.withResolvers<string>();
  #wake: (() => void) | undefined;
  #failed = false;

  constructor(worker: HashWorker, id: number) {
    this.#worker = worker;
    this.#id = id;
    this.#result.promise.catch(() => undefined); // met by hex(); an abandoned stream must not end the process
    worker.post({ kind: 'open', id, slots: this.#slots });
  }

  async update(chunk: Uint8Array): Promise<void> {
    for (let rest = chunk; rest.length > 0 && !this.#failed; ) {
      this.#filling ??= await this.#slot();
      if (this.#filling === undefined) return;
      const part = rest.subarray(0, this.#slotBytes - this.#filled);
      new Uint8Array(this.#slots, this.#offset(this.#filling) + this.#filled, part.length).set(part);
      this.#filled += part.length;
      this.#total += part.length;
      rest = rest.subarray(part.length);
      if (this.#filled === this.#slotBytes) this.#post();
    }
  }

  async hex(): Promise<string> {
    this.#post();
    this.#worker.post({ kind: 'end', id: this.#id });
    return this.#worker.waitingFor(this.#result.promise);
  }

  abandon(): void {
    this.#worker.post({ kind: 'end', id: this.#id });
  }

  reply(reply: HashReply): void {
    if (reply.kind === 'digest') this.#result.resolve(reply.hex);
    else if (reply.slot >= this.#first) this.#free.push(reply.slot);
    this.#wake?.();
  }

  fail(error: Error): void {
    this.#failed = true;
    this.#result.reject(error);
    this.#wake?.();
  }

  #offset(slot: number): number {
    return (slot - this.#first) * this.#slotBytes;
  }

  #post(): void {
    const slot = this.#filling;
    if (slot === undefined) return;
    const [offset, length] = [this.#offset(slot), this.#filled];
    this.#filling = undefined;
    this.#filled = 0;
    this.#worker.post({ kind: 'update', id: this.#id, slot, offset, length });
    if (this.#total >= LARGE_BYTES && this.#slotBytes === SLOT_BYTES) this.#grow();
  }

  /** What was posted before is read from the memory that it was posted with: messages come in order. */
  #grow(): void {
    this.#slotBytes = LARGE_SLOT_BYTES;
    this.#slots = new SharedArrayBuffer(SLOTS * LARGE_SLOT_BYTES);
    this.#first = SLOTS;
    this.#free = Array.from({ length: SLOTS }, (_, slot) => SLOTS + slot);
    this.#worker.post({ kind: 'memory', id: this.#id, slots: this.#slots });
  }

  /** Undefined where the worker has gone: hex() says why. */
  async #slot(): Promise<number | undefined> {
    while (this.#free.length === 0 && !this.#failed) {
      const freed = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await this.#worker.waitingFor(freed);
    }
    return this.#free.shift();
  }
}

class HashWorker {
  readonly streams = new Map<number, RemoteHash>();
  readonly #worker: Worker;
  #waiting = 0;

  constructor(onGone: (worker: HashWorker) => void) {
    this.#worker = new Worker(workerScript('./hash-worker', import.meta.url));
    this.#worker.unref();
    this.#worker.on('message', (reply: HashReply) => {
      this.streams.get(reply.id)?.reply(reply);
      if (reply.kind === 'digest') this.streams.delete(reply.id);
    });
    this.#worker.on('error', (error) => {
      onGone(this);
      for (const stream of this.streams.values())
        stream.fail(error instanceof Error ? error : new Error(String(error)));
    });
  }

  open(id: number): RemoteHash {
    const stream = new RemoteHash(this, id);
    this.streams.set(id, stream);
    return stream;
  }

  post(request: HashRequest): void {
    this.#worker.postMessage(request);
  }

  /** The thread keeps the process up while somebody waits for it, and at no other time. */
  async waitingFor<T>(answer: Promise<T>): Promise<T> {
    if (this.#waiting++ === 0) this.#worker.ref();
    try {
      return await answer;
    } finally {
      if (--this.#waiting === 0) this.#worker.unref();
    }
  }
}

/** One thread a core at most, made when first needed. */
class HashPool {
  #workers: HashWorker[] = [];
  #nextId = 0;

  open(): RemoteHash {
    const idle = this.#workers.find((worker) => worker.streams.size === 0);
    const worker = idle ?? (this.#workers.length < availableParallelism() ? this.#spawn() : this.#leastBusy());
    return worker.open(this.#nextId++);
  }

  #spawn(): HashWorker {
    const worker = new HashWorker((gone) => {
      this.#workers = this.#workers.filter((other) => other !== gone);
    });
    this.#workers.push(worker);
    return worker;
  }

  #leastBusy(): HashWorker {
    return this.#workers.reduce((least, worker) => (worker.streams.size < least.streams.size ? worker : least));
  }
}

let shared: HashPool | undefined;

function pool(): HashPool {
  shared ??= new HashPool();
  return shared;
}
