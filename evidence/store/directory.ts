// A directory as a store: link(2) for put-once, fsync of file and folder, 0600 and 0700, no link ever followed.
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, realpath, rmdir, unlink } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { errnoOf, ImpoundError } from '../errors.ts';
import { assertBundlePath, isBundlePath } from '../format/layout.ts';
import type { StoredObject } from '../format/record.ts';
import { nonce } from '../id.ts';
import { DirectoryWriter } from './directory-writer.ts';
import { ignoreAbsence, linkOnce, makeFolder, walk } from './folders.ts';
import type { ObjectWriter, ReadOptions, Store, StoreEntry, UnfinishedObject } from './store.ts';
import { missing, storeError } from './store-error.ts';

/** Read ahead of verification: large enough that a disk streams, small enough that many files in parallel fit. */
const READ_BYTES = 256 * 1024;
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
    assertBundlePath(path, 'create');
    const target = join(this.#root, path);
    const temporary = join(this.#partial, `${path.replaceAll('/', '%')}%${nonce()}`);
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
      let { start: position = 0 } = options;
      const { end = Number.POSITIVE_INFINITY } = options;
      while (position < end) {
        const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - position));
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
        if (bytesRead === 0) return;
        position += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } catch (error) {
      throw storeError(error, 'read', path);
    } finally {
      await handle.close();
    }
  }

  async *unfinished(): AsyncIterable<UnfinishedObject> {
    for await (const { path: name, kind } of this.#partials()) {
      const path = name.split('%').slice(0, -1).join('/');
      if (kind !== 'file' || !isBundlePath(path)) continue;
      const temporary = join(this.#partial, name);
      yield {
        path,
        publish: async () => {
          const target = join(this.#root, path);
          await this.#ensureFolder(dirname(target));
          await linkOnce(temporary, target, path);
          return {};
        },
        release: () => unlink(temporary),
      };
    }
  }

  async *#partials(): AsyncIterable<StoreEntry> {
    const there = await lstat(this.#partial).catch(ignoreAbsence);
    if (there !== undefined) yield* walk(this.#partial, '');
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
