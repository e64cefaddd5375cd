// An object of a directory store while it is written: a file elsewhere, hashed as it grows, linked into place at the end.
import { type FileHandle, stat, unlink } from 'node:fs/promises';
import { errnoOf } from '../errors.ts';
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

  async commit(): Promise<StoredObject> {
    try {
      await this.#handle.sync();
      await this.#handle.close();
      await publish(this.#temporary, this.#target, this.#path);
      const { size } = await stat(this.#target);
      if (size !== this.#size) throw new Error(`the store holds ${size} bytes of ${this.#size}`);
      return { size, sha256: await this.#digest.hex() };
    } catch (error) {
      throw storeError(error, 'commit', this.#path);
    }
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
