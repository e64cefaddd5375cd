// One object while it is written: whole where it fits into a part, else part by part, each part's SHA-256 enforced by the
// store and kept for the chain.
import type { StoredObject, StoredPart } from '../../format/record.ts';
import { digestOf, type Sha256Stream, sha256Stream } from '../../stream/hash.ts';
import type { ObjectWriter } from '../store.ts';
import { PartBuffer } from './part-buffer.ts';
import { MIN_PART_BYTES, PART_BYTES, type PartMemory } from './part-memory.ts';
import type { Sender } from './sender.ts';

export interface PartWriterOptions {
  readonly sender: Sender;
  readonly memory: PartMemory;
}

export class PartWriter implements ObjectWriter {
  readonly #options: PartWriterOptions;
  #part = new PartBuffer();
  #upload: Promise<string> | undefined;
  /** By number less one, as they are acknowledged. */
  readonly #parts: (StoredPart | undefined)[] = [];
  #numbers = 0;
  readonly #sending = new Set<Promise<void>>();
  /** Over all parts; there is none while the object may still be a single one. */
  #whole: Sha256Stream | undefined;
  #failure: unknown;

  constructor(options: PartWriterOptions) {
    this.#options = options;
  }

  async write(chunk: Uint8Array): Promise<void> {
    const { memory } = this.#options;
    for (let rest = chunk; rest.length > 0; ) {
      this.#throwFailure();
      if (this.#numbers > 0 && this.#part.capacity === 0) this.#part = this.#another();
      const growth = this.#part.growth(rest);
      memory.fill(growth);
      if (memory.crowded && this.#part.size >= MIN_PART_BYTES) {
        memory.forget(growth);
        await this.#send();
        continue;
      }
      rest = this.#part.append(rest);
      if (this.#part.size === PART_BYTES) await this.#send();
    }
  }

  async commit(): Promise<StoredObject> {
    if (this.#upload === undefined) return this.#commitWhole();
    if (this.#part.size > 0) await this.#send();
    await Promise.all(this.#sending);
    this.#throwFailure();
    const parts = this.#parts.filter((part) => part !== undefined);
    if (parts.length !== this.#numbers) throw new Error('a part was neither stored nor refused');
    const names = await this.#options.sender.complete(await this.#upload, parts);
    const whole = await this.#whole?.hex();
    if (whole === undefined) throw new Error('an upload of parts has a digest over all of them');
    return { size: parts.reduce((sum, { size }) => sum + size, 0), sha256: whole, parts, ...names };
  }

  /** What was sent stays in the store as an unfinished upload, for `seal`. */
  async abandon(): Promise<void> {
    this.#options.memory.forget(this.#part.capacity);
    this.#part = new PartBuffer();
    await Promise.allSettled(this.#sending);
    this.#whole?.abandon();
  }

  async #commitWhole(): Promise<StoredObject> {
    const { sender, memory } = this.#options;
    const { bytes, capacity } = this.#part;
    this.#part = new PartBuffer();
    await memory.send(capacity);
    try {
      const { sha256 } = await digestOf([bytes]);
      return { size: bytes.length, sha256, ...(await sender.put({ bytes, sha256 })) };
    } finally {
      memory.sent(capacity);
    }
  }

  /** An object that has parts has more of them, and each is likely to be a whole one. */
  #another(): PartBuffer {
    const { memory } = this.#options;
    const spare = memory.take();
    if (spare === undefined) return this.#part;
    memory.fill(spare.length);
    return new PartBuffer(spare);
  }

  /** Begins to send the part; resolves when another may be filled. */
  async #send(): Promise<void> {
    const { sender, memory } = this.#options;
    const { bytes, capacity, memory: buffer } = this.#part;
    const number = ++this.#numbers;
    this.#part = new PartBuffer();
    this.#upload ??= sender.begin();
    this.#upload.catch(() => undefined); // met by the first part
    this.#whole ??= sha256Stream();
    await memory.send(capacity);
    const whole = this.#whole.update(bytes);
    const sent: Promise<void> = this.#sendPart(number, bytes)
      .then(() => whole)
      .then(() => memory.give(buffer))
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => {
        memory.sent(capacity);
        this.#sending.delete(sent);
      });
    this.#sending.add(sent);
    await whole;
  }

  async #sendPart(number: number, bytes: Buffer): Promise<void> {
    const { sha256 } = await digestOf([bytes]);
    const upload = (await this.#upload) ?? '';
    await this.#options.sender.putPart(upload, number, { bytes, sha256 });
    this.#parts[number - 1] = { size: bytes.length, sha256 };
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
