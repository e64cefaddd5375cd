// The payload of an age file: 64 KiB chunks, each sealed with ChaCha20-Poly1305 (STREAM, https://age-encryption.org/v1).
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';

export const NONCE_BYTES = 16;
export const CHUNK_BYTES = 64 * 1024;
export const TAG_BYTES = 16;
/** Chunks come out together until they are this many bytes: each piece costs a turn through hashing and the store. */
export const OUTPUT_BYTES = 256 * 1024;

const CIPHER = 'chacha20-poly1305';
const OPTIONS = { authTagLength: TAG_BYTES } as const;

/** The key of one payload; `nonce` is the 16 bytes behind the header. */
export function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', 32)));
}

/** Ciphertext and tag of chunk `number`. */
export function sealChunk(
  key: KeyObject,
  number: number,
  last: boolean,
  content: Uint8Array,
): readonly Buffer<ArrayBuffer>[] {
  const cipher = createCipheriv(CIPHER, key, chunkNonce(number, last), OPTIONS);
  const sealed = cipher.update(content);
  cipher.final();
  return [sealed, cipher.getAuthTag()];
}

/** The content of chunk `number`, or undefined where it is not what was sealed as that chunk. */
export function openChunk(
  key: KeyObject,
  number: number,
  last: boolean,
  sealed: Uint8Array,
): Buffer<ArrayBuffer> | undefined {
  if (sealed.length < TAG_BYTES) return undefined;
  const decipher = createDecipheriv(CIPHER, key, chunkNonce(number, last), OPTIONS);
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const content = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
  try {
    decipher.final();
  } catch {
    return undefined; // the only thing final() says: the tag does not match
  }
  return content;
}

/** 11 bytes of big-endian counter, and 1 on the last chunk. 48 bits count further than any store reaches. */
function chunkNonce(number: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(number, 5, 6);
  nonce[11] = last ? 1 : 0;
  return nonce;
}

/** Cuts a stream into chunks of `size` bytes. A whole one is kept back until more comes: it may be the last. */
export class Chunks {
  readonly #size: number;
  readonly #held: Buffer;
  #bytes = 0;

  constructor(size: number) {
    this.#size = size;
    this.#held = Buffer.allocUnsafeSlow(size);
  }

  /** The chunks that are not the last, each valid until the next is asked for. */
  *push(bytes: Uint8Array): Generator<Uint8Array> {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#bytes === this.#size) {
        this.#bytes = 0;
        yield this.#held;
      }
      if (this.#bytes === 0 && rest.length > this.#size) {
        yield rest.subarray(0, this.#size);
        rest = rest.subarray(this.#size);
        continue;
      }
      const taken = rest.subarray(0, this.#size - this.#bytes);
      this.#held.set(taken, this.#bytes);
      this.#bytes += taken.length;
      rest = rest.subarray(taken.length);
    }
  }

  /** The last chunk, once all has been pushed. */
  last(): Uint8Array {
    return this.#held.subarray(0, this.#bytes);
  }
}

/** Pieces gathered into few large ones. */
export class Gathered {
  #pieces: Buffer<ArrayBuffer>[] = [];
  #bytes = 0;

  /** The pieces are Gathered's from here on. */
  add(pieces: readonly Buffer<ArrayBuffer>[]): void {
    for (const piece of pieces) {
      this.#pieces.push(piece);
      this.#bytes += piece.length;
    }
  }

  get enough(): boolean {
    return this.#bytes >= OUTPUT_BYTES;
  }

  /** All there is, perhaps nothing; what follows is gathered anew. */
  take(): Uint8Array {
    const [only] = this.#pieces;
    const alone = only?.length === this.#bytes;
    const taken = alone ? only : Buffer.concat(this.#pieces, this.#bytes);
    if (!alone) for (const piece of this.#pieces) release(piece);
    this.#pieces = [];
    this.#bytes = 0;
    return taken;
  }
}

/** Frees the bytes now: at this rate what waits for the garbage collector would be some 80 MB. */
function release(piece: Buffer<ArrayBuffer>): void {
  if (piece.length === piece.buffer.byteLength) piece.buffer.transfer(0);
}
