// Decrypts one artefact while it is read, trusting nothing of what is stored (https://age-encryption.org/v1).
import type { KeyObject } from 'node:crypto';
import { ImpoundError } from '../../errors.ts';
import type { AgeIdentities } from './identities.ts';
import { CHUNK_BYTES, Chunks, Gathered, NONCE_BYTES, openChunk, payloadKey, TAG_BYTES } from './payload.ts';

/** Many times what Impound writes. */
const MAX_HEADER_BYTES = 64 * 1024;
const FIRST_LINE = 'age-encryption.org/v1\n';

/**
 * The content of `stored`, chunk by authenticated chunk. Content that was altered, cut off or added to gives what
 * precedes the damage, then throws `content-damaged`; content that no identity opens throws `key-unsuitable`. Only
 * when iterating has ended without a throw is it whole.
 */
export async function* ageDecrypt(
  stored: AsyncIterable<Uint8Array>,
  identities: AgeIdentities,
  thing: string,
): AsyncGenerator<Uint8Array> {
  let begin = Buffer.alloc(0);
  let payload: Payload | undefined;
  for await (const chunk of stored) {
    if (payload !== undefined) {
      yield* payload.update(chunk);
      continue;
    }
    begin = Buffer.concat([begin, chunk]);
    const header = headerBytes(begin, thing);
    if (header === undefined || begin.length < header + NONCE_BYTES) continue;
    const fileKey = await identities.fileKey(begin.subarray(0, header), thing);
    payload = new Payload(payloadKey(fileKey, begin.subarray(header, header + NONCE_BYTES)), thing);
    yield* payload.update(begin.subarray(header + NONCE_BYTES));
    begin = Buffer.alloc(0);
  }
  if (payload === undefined) throw damaged(thing, 'is cut off in its age header');
  yield* payload.end();
}

/** Size of the header with its last line, the MAC's; undefined while it has not all come. */
function headerBytes(begin: Buffer, thing: string): number | undefined {
  const first = begin.subarray(0, FIRST_LINE.length).toString('latin1');
  if (!FIRST_LINE.startsWith(first)) throw damaged(thing, 'is not an age file');
  const bounded = begin.subarray(0, MAX_HEADER_BYTES);
  const mac = bounded.indexOf('\n---');
  const end = mac < 0 ? -1 : bounded.indexOf('\n', mac + 1);
  if (end >= 0) return end + 1;
  if (begin.length >= MAX_HEADER_BYTES)
    throw damaged(thing, `has an age header of more than ${MAX_HEADER_BYTES} bytes, which Impound never writes`);
  return undefined;
}

class Payload {
  readonly #key: KeyObject;
  readonly #thing: string;
  readonly #chunks = new Chunks(CHUNK_BYTES + TAG_BYTES);
  readonly #opened = new Gathered();
  #number = 0;

  constructor(key: KeyObject, thing: string) {
    this.#key = key;
    this.#thing = thing;
  }

  *update(stored: Uint8Array): Generator<Uint8Array> {
    for (const sealed of this.#chunks.push(stored)) {
      const content = openChunk(this.#key, this.#number, false, sealed);
      if (content === undefined) {
        yield* this.#take();
        const last = openChunk(this.#key, this.#number, true, sealed);
        if (last === undefined) throw damaged(this.#thing, `was altered ${this.#where()}`);
        yield last;
        this.#number++;
        throw damaged(this.#thing, `goes on behind its end, ${this.#where()}`);
      }
      this.#number++;
      this.#opened.add([content]);
      if (this.#opened.enough) yield this.#opened.take();
    }
    yield* this.#take(); // nothing authenticated waits for what a slow or failing source may never give
  }

  *end(): Generator<Uint8Array> {
    const sealed = this.#chunks.last();
    const content = openChunk(this.#key, this.#number, true, sealed);
    if (content !== undefined && (content.length > 0 || this.#number === 0)) {
      if (content.length > 0) yield content;
      return;
    }
    const whole = openChunk(this.#key, this.#number, false, sealed);
    if (whole?.length === CHUNK_BYTES) {
      yield whole;
      this.#number++;
      throw damaged(this.#thing, `is cut off ${this.#where()}`);
    }
    throw damaged(this.#thing, `was altered or cut off ${this.#where()}`);
  }

  *#take(): Generator<Uint8Array> {
    const content = this.#opened.take();
    if (content.length > 0) yield content;
  }

  #where(): string {
    return `after ${this.#number * CHUNK_BYTES} bytes of content, which are whole`;
  }
}

function damaged(thing: string, what: string): ImpoundError {
  return new ImpoundError('content-damaged', `${thing} ${what}`, { operation: 'decrypt', thing });
}
