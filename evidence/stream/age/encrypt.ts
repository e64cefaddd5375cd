// Encrypts one artefact to age recipients while it is written (https://age-encryption.org/v1).
import { type KeyObject, randomBytes } from 'node:crypto';
import { ImpoundError } from '../../errors.ts';
import { CHUNK_BYTES, Chunks, Gathered, NONCE_BYTES, payloadKey, sealChunk, TAG_BYTES } from './payload.ts';
import type { AgeRecipient } from './recipients.ts';

/** The stored bytes are `header`, then all that `update` gave, then what `end` gave. */
export interface AgeEncryptor {
  /** The header with its MAC, and the payload's nonce. */
  readonly header: Uint8Array;
  /** What is ready of the stored bytes: nothing, or pieces of 256 KiB or more. `chunk` may be changed afterwards. */
  update(chunk: Uint8Array): readonly Uint8Array[];
  /** The rest, never empty. An artefact that ends without this is told from a whole one when it is read. */
  end(): Uint8Array;
}

/** For one artefact: each has its own file key and nonce. */
export async function ageEncryptor(recipients: readonly AgeRecipient[]): Promise<AgeEncryptor> {
  const { header, fileKey } = await newHeader(recipients);
  const nonce = randomBytes(NONCE_BYTES);
  return new Encryptor(Buffer.concat([header, nonce]), payloadKey(fileKey, nonce));
}

/**
 * The package makes headers only with a payload: here an empty one under a nonce of its own, which is dropped. The file
 * key is had as any recipient has it: by one that adds no stanza.
 */
async function newHeader(
  recipients: readonly AgeRecipient[],
): Promise<{ readonly header: Uint8Array; readonly fileKey: Uint8Array }> {
  if (recipients.length === 0)
    throw new ImpoundError('internal', 'an artefact was to be encrypted to nobody', { operation: 'encrypt' });
  const { Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  for (const { text } of recipients) encrypter.addRecipient(text);
  let fileKey = new Uint8Array();
  encrypter.addRecipient({
    wrapFileKey: (key) => {
      fileKey = Uint8Array.from(key);
      return [];
    },
  });
  const file = await encrypter.encrypt(new Uint8Array());
  return { header: file.subarray(0, file.length - NONCE_BYTES - TAG_BYTES), fileKey };
}

class Encryptor implements AgeEncryptor {
  readonly header: Uint8Array;
  readonly #key: KeyObject;
  readonly #chunks = new Chunks(CHUNK_BYTES);
  readonly #sealed = new Gathered();
  #number = 0;
  #ended = false;

  constructor(header: Uint8Array, key: KeyObject) {
    this.header = header;
    this.#key = key;
  }

  update(chunk: Uint8Array): readonly Uint8Array[] {
    this.#assertOpen();
    const ready: Uint8Array[] = [];
    for (const content of this.#chunks.push(chunk)) {
      this.#seal(content, false);
      if (this.#sealed.enough) ready.push(this.#sealed.take());
    }
    return ready;
  }

  end(): Uint8Array {
    this.#assertOpen();
    this.#ended = true;
    this.#seal(this.#chunks.last(), true);
    return this.#sealed.take();
  }

  #seal(content: Uint8Array, last: boolean): void {
    this.#sealed.add(sealChunk(this.#key, this.#number++, last, content));
  }

  #assertOpen(): void {
    if (!this.#ended) return;
    throw new ImpoundError('internal', 'an encrypted artefact was written past its end', { operation: 'encrypt' });
  }
}
