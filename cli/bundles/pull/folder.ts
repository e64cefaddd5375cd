// The folder that a bundle is pulled into: half a file lies apart until it is whole and verified, nothing there is ever
// replaced, and nothing is written through a link.
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, rmdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, ImpoundError, isBundlePath, makeFolder } from '../../../evidence/index.ts';

const { O_RDWR, O_CREAT, O_NOFOLLOW, O_RDONLY, O_NONBLOCK } = constants;
/** Of a half file's name; file systems take 255 bytes. */
const MAX_NAME = 200;
const PARTIAL = '.impound-pull';

/** A file that is being fetched. */
export interface PartialFile {
  readonly handle: FileHandle;
  /** Bytes that an earlier try left. */
  readonly size: number;
  write(chunks: readonly Uint8Array[], position: number): Promise<void>;
  /** What was written is on the disk. */
  settle(): Promise<void>;
  /** Puts it under its path; false where another file took that meanwhile. */
  publish(): Promise<boolean>;
  /** Closes it; what was fetched is kept for the next try. */
  close(): Promise<void>;
  /** Closes and removes it. */
  discard(): Promise<void>;
}

export class PullFolder {
  readonly path: string;
  readonly #directory: string;
  readonly #name: string;
  readonly #made = new Map<string, Promise<void>>();

  /** `name` is one segment; `directory` is the person's, and may be reached through links. */
  constructor(directory: string, name: string) {
    if (!isBundlePath(name) || name.includes('/'))
      throw new ImpoundError('not-a-bundle', 'the bundle has no name that a folder could have', { operation: 'pull' });
    this.#directory = directory;
    this.#name = name;
    this.path = join(directory, name);
  }

  async prepare(): Promise<void> {
    try {
      await makeFolder(this.#directory);
      await this.#folder(this.#name);
      await this.#folder(`${PARTIAL}/${this.#name}`);
    } catch (error) {
      throw this.#failed(error, this.path);
    }
  }

  /** The whole file that stands there already. The caller closes it. */
  async existing(path: string): Promise<{ readonly handle: FileHandle; readonly size: number } | undefined> {
    try {
      await this.#folder(dirname(`${this.#name}/${path}`));
      const handle = await open(join(this.path, path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      const found = await handle.stat();
      if (found.isFile()) return { handle, size: found.size };
      await handle.close();
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw this.#failed(error, join(this.path, path));
    }
    throw denied(`${join(this.path, path)} is no file, and was left`);
  }

  async partial(path: string): Promise<PartialFile> {
    const temporary = this.#temporary(path);
    try {
      await this.#folder(dirname(`${this.#name}/${path}`));
      const handle = await open(temporary, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
      const close = (): Promise<void> => handle.close();
      const found = await handle.stat();
      // a second name would be written to as well
      if (!found.isFile() || found.nlink > 1) {
        await close();
        throw denied(`${temporary} is not a plain file of its own: remove it and pull again`);
      }
      return {
        handle,
        size: found.size,
        write: (chunks, position) => this.#write(handle, chunks, position, path),
        settle: () => this.#settle(handle, path),
        publish: () => this.#publish(handle, temporary, path),
        close,
        discard: async () => {
          await close();
          await unlink(temporary);
        },
      };
    } catch (error) {
      throw this.#failed(error, temporary);
    }
  }

  /** Removes the half of a file that is there whole: the last try was killed between two steps. */
  async forget(path: string): Promise<void> {
    await unlink(this.#temporary(path)).catch(() => undefined); // nearly always there is none
  }

  /** Removes what half files were in, once there are none. */
  async finish(): Promise<void> {
    for (const folder of [`${PARTIAL}/${this.#name}`, PARTIAL])
      await rmdir(join(this.#directory, folder)).catch(() => undefined); // halves of files that failed, or another bundle's, are in it still
  }

  #temporary(path: string): string {
    const plain = path.replaceAll('/', '%');
    const name = plain.length <= MAX_NAME ? plain : createHash('sha256').update(path).digest('hex');
    return join(this.#directory, PARTIAL, this.#name, name);
  }

  async #write(handle: FileHandle, chunks: readonly Uint8Array[], position: number, path: string): Promise<void> {
    try {
      let at = position;
      for (let rest = chunks; rest.length > 0; ) {
        const { bytesWritten } = await handle.writev(rest, at);
        at += bytesWritten;
        rest = restOf(rest, bytesWritten);
      }
    } catch (error) {
      throw this.#failed(error, join(this.path, path));
    }
  }

  async #settle(handle: FileHandle, path: string): Promise<void> {
    try {
      await handle.datasync();
    } catch (error) {
      throw this.#failed(error, join(this.path, path));
    }
  }

  async #publish(handle: FileHandle, temporary: string, path: string): Promise<boolean> {
    try {
      await handle.datasync();
      await handle.close();
      const free = await link(temporary, join(this.path, path)).then(
        () => true,
        (error: unknown) => {
          if (errnoOf(error) === 'EEXIST') return false;
          throw error;
        },
      );
      await unlink(temporary);
      return free;
    } catch (error) {
      throw this.#failed(error, join(this.path, path));
    }
  }

  /** Makes a folder below the person's, one level after the other: a link on the way is none of ours. */
  #folder(path: string): Promise<void> {
    const known = this.#made.get(path) ?? this.#makeFolder(path);
    this.#made.set(path, known);
    return known;
  }

  async #makeFolder(path: string): Promise<void> {
    const above = dirname(path);
    if (above !== '.') await this.#folder(above);
    const folder = join(this.#directory, path);
    await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
      if (errnoOf(error) !== 'EEXIST') throw error;
    });
    const found = await lstat(folder);
    if (found.isSymbolicLink()) throw denied(`${folder} is a link: nothing is written through it`);
    if (!found.isDirectory()) throw denied(`${folder} is no folder, and was left`);
  }

  #failed(error: unknown, place: string): ImpoundError {
    if (error instanceof ImpoundError) return error;
    const errno = errnoOf(error);
    const context = { operation: 'pull', thing: place, cause: error };
    if (errno === 'ENOSPC' || errno === 'EDQUOT')
      return new ImpoundError(
        'store-full',
        `${this.#directory} is full: make room and pull again, what was fetched is kept`,
        context,
      );
    if (errno === 'ELOOP')
      return new ImpoundError('store-denied', `${place} is a link: nothing is written through it`, context);
    const why = errno ?? (error instanceof Error ? error.message : String(error));
    return new ImpoundError('store-failed', `cannot write ${place}: ${why}`, context);
  }
}

function denied(message: string): ImpoundError {
  return new ImpoundError('store-denied', message, { operation: 'pull' });
}

/** What of the chunks is after the first `bytes`. */
function restOf(chunks: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let skip = bytes;
  return chunks.flatMap((chunk) => {
    const rest = chunk.subarray(skip);
    skip = Math.max(0, skip - chunk.length);
    return rest.length === 0 ? [] : [rest];
  });
}
