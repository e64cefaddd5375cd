// A directory as a store: link(2) for put-once, fsync of file and folder, 0600 and 0700, no link ever followed.
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, realpath, rmdir, unlink } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { errnoOf, ImpoundError } from '../errors.ts';
import { assertBundlePath } from '../format/layout.ts';
import type { StoredObject } from '../format/record.ts';
import { nonce } from '../id.ts';
import { partialName } from './directory/names.ts';
import { tidyPartial, unfinishedIn } from './directory/unfinished.ts';
import { directoryUploads, type UploadPlace } from './directory/uploads.ts';
import { DirectoryWriter } from './directory-writer.ts';
import { ignoreAbsence, makeFolder, readHandle, walk } from './folders.ts';
import type { ObjectWriter, ReadOptions, Store, StoreEntry, UnfinishedObject } from './store.ts';
import { missing, storeError } from './store-error.ts';
import type { Uploads, UploadsOptions } from './uploads.ts';

/** Kept aside so that the last entries of a capture still fit when its artefacts have filled the disk. */
const RESERVE_BYTES = 1024 * 1024;
const RESERVE = 'reserve';

export interface DirectoryStoreOptions {
  /** Folder that holds the objects. */
  readonly root: string;
  /** Folder for half-written objects, on the same file system and outside `root`. */
  readonly partial: string;
}

export class DirectoryStore implements Store {
  readonly url: string;
  readonly concurrency = 2 * availableParallelism();
  readonly #root: string;
  readonly #partial: string;
  /** Folders known to exist and to be durable. */
  readonly #folders = new Map<string, Promise<void>>();

  constructor(options: DirectoryStoreOptions) {
    this.#root = options.root;
    this.#partial = options.partial;
    this.url = options.root;
  }

  below(prefix: string): DirectoryStore {
    assertBundlePath(prefix, 'open');
    return new DirectoryStore({ root: join(this.#root, prefix), partial: join(this.#partial, basename(prefix)) });
  }

  /** Makes the folders, sets bytes aside for the end; throws what is wrong with it. */
  async prepare(): Promise<void> {
    try {
      await this.#ensureFolder(this.#root);
      await this.#ensureFolder(this.#partial);
      const reserve = await open(join(this.#partial, RESERVE), 'w', 0o600);
      try {
        await reserve.writeFile(Buffer.alloc(RESERVE_BYTES));
      } finally {
        await reserve.close();
      }
    } catch (error) {
      throw storeError(error, 'prepare store', this.#root);
    }
  }

  /** Gives the reserve back and removes the folder of half-written objects where nothing is left in it. */
  async finish(): Promise<void> {
    await this.#removePartial(RESERVE);
    await tidyPartial(this.#place());
    for (const folder of [this.#partial, dirname(this.#partial)]) {
      this.#folders.delete(folder);
      try {
        await rmdir(folder);
      } catch (error) {
        if (!['ENOTEMPTY', 'ENOENT', 'EEXIST'].includes(errnoOf(error) ?? '')) {
          throw storeError(error, 'tidy', folder);
        }
      }
    }
  }

  async put(path: string, bytes: Uint8Array): Promise<StoredObject> {
    try {
      return await this.#putOnce(path, bytes);
    } catch (error) {
      if (!(error instanceof ImpoundError && error.code === 'store-full' && (await this.#removePartial(RESERVE))))
        throw error;
      return await this.#putOnce(path, bytes);
    }
  }

  async #putOnce(path: string, bytes: Uint8Array): Promise<StoredObject> {
    const writer = await this.create(path);
    try {
      await writer.write(bytes);
      return await writer.commit();
    } catch (error) {
      await writer.abandon();
      throw error;
    }
  }

  async create(path: string): Promise<ObjectWriter> {
    return this.#writer(path);
  }

  async #writer(path: string): Promise<DirectoryWriter> {
    assertBundlePath(path, 'create');
    const target = join(this.#root, path);
    const temporary = join(this.#partial, partialName(path, nonce()));
    try {
      await this.#ensureFolder(dirname(target));
      await this.#ensureFolder(this.#partial);
      const handle = await open(temporary, 'wx', 0o600);
      return new DirectoryWriter(handle, temporary, target, path);
    } catch (error) {
      throw storeError(error, 'create', path);
    }
  }

  async *list(prefix = ''): AsyncIterable<StoreEntry> {
    const folder = prefix === '' ? this.#root : join(this.#root, prefix);
    try {
      const top = await lstat(folder).catch(ignoreAbsence);
      if (top?.isDirectory()) yield* walk(folder, prefix);
    } catch (error) {
      throw storeError(error, 'list', folder);
    }
  }

  async size(path: string): Promise<number | undefined> {
    try {
      const handle = await this.#openForReading(path);
      try {
        return (await handle.stat()).size;
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (error instanceof ImpoundError && error.code === 'object-missing') return undefined;
      throw error;
    }
  }

  async *read(path: string, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    const handle = await this.#openForReading(path);
    try {
      yield* readHandle(handle, options.start, options.end);
    } catch (error) {
      throw storeError(error, 'read', path);
    } finally {
      await handle.close();
    }
  }

  unfinished(): AsyncIterable<UnfinishedObject> {
    return unfinishedIn(this.#place());
  }

  uploads(options: UploadsOptions): Uploads {
    return directoryUploads(this.#place(), options);
  }

  #place(): UploadPlace {
    return {
      partial: this.#partial,
      store: this,
      target: async (path) => {
        const target = join(this.#root, path);
        await this.#ensureFolder(dirname(target));
        return target;
      },
      writer: (path) => this.#writer(path),
      ensure: () => this.#ensureFolder(this.#partial),
    };
  }

  /** A folder on the way may be a link that somebody planted: the real path must be the plain one. */
  async #openForReading(path: string): Promise<FileHandle> {
    try {
      assertBundlePath(path, 'read');
      const folder = dirname(path);
      const root = await realpath(this.#root);
      const real = await realpath(join(root, folder));
      if (real !== join(root, folder)) throw missing(path, 'a link stands on the way to it');
      const handle = await open(join(real, path.slice(folder === '.' ? 0 : folder.length + 1)), READ_FLAGS);
      if ((await handle.stat()).isFile()) return handle;
      await handle.close();
      throw missing(path, 'it is not a regular file');
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 'ENOENT' || errno === 'ENOTDIR') throw missing(path, 'no such object');
      if (errno === 'ELOOP' || errno === 'ENXIO') throw missing(path, 'it is not a regular file');
      throw storeError(error, 'read', path);
    }
  }

  #ensureFolder(folder: string): Promise<void> {
    const known = this.#folders.get(folder) ?? makeFolder(folder);
    this.#folders.set(folder, known);
    known.catch(() => this.#folders.delete(folder));
    return known;
  }

  /** False where it is not there. */
  async #removePartial(name: string): Promise<boolean> {
    try {
      await unlink(join(this.#partial, name));
      return true;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false;
      throw storeError(error, 'tidy', name);
    }
  }
}

const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
