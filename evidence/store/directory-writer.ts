// An object of a directory store while it is written: a file elsewhere, hashed as it grows, linked into place at the end.
import { type FileHandle, stat, unlink } from 'node:fs/promises';
import { errnoOf, ImpoundError } from '../errors.ts';
import type { StoredObject } from '../format/record.ts';
import { sha256Stream } from '../stream/hash.ts';
import { publish } from './folders.ts';
import type { ObjectWriter } from './store.ts';
import { storeError } from './store-error.ts';

export class DirectoryWriter implements ObjectWriter {
  readonly #handle: FileHandle;
  readonly #temporary: string;
  readonly #target: string;
  readonly #path: string;
  readonly #digest = sha256Stream();
  #size = 0;

  constructor(handle: FileHandle, temporary: string, target: string, path: string) {
    this.#handle = handle;
    this.#temporary = temporary;
    this.#target = target;
    this.#path = path;
  }

  async write(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    try {
      while (rest.length > 0) {
        const { bytesWritten } = await this.#handle.write(rest, 0, rest.length, this.#size);
        const written = rest.subarray(0, bytesWritten);
        // what reached the file is what is hashed, so that a disk that fills up leaves a true record
        await this.#digest.update(written);
        this.#size += bytesWritten;
        rest = rest.subarray(bytesWritten);
      }
    } catch (error) {
      throw storeError(error, 'write', this.#path);
    }
  }

  /** Throws `content-damaged` where other bytes came than were expected: they appear nowhere. */
  async commit(expected?: Pick<StoredObject, 'size' | 'sha256'>): Promise<StoredObject> {
    try {
      const [sha256] = await Promise.all([this.#digest.hex(), this.#handle.sync()]);
      if (expected !== undefined && (expected.size !== this.#size || expected.sha256 !== sha256))
        throw this.#damaged(`${this.#size} bytes with SHA-256 ${sha256} came`);
      await this.#handle.close();
      await publish(this.#temporary, this.#target, this.#path);
      const { size } = await stat(this.#target);
      if (size !== this.#size) throw new Error(`the store holds ${size} bytes of ${this.#size}`);
      return { size, sha256 };
    } catch (error) {
      throw storeError(error, 'commit', this.#path);
    }
  }

  #damaged(what: string): ImpoundError {
    const context = { operation: 'commit', thing: this.#path };
    return new ImpoundError('content-damaged', `${this.#path}: ${what}, and others were announced`, context);
  }

  async abandon(): Promise<void> {
    this.#digest.abandon();
    try {
      await this.#handle.close();
      await unlink(this.#temporary);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'EBADF') throw storeError(error, 'abandon', this.#path);
    }
  }
}
