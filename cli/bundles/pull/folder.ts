// The folder that a bundle is pulled into: half a file lies apart until it is whole and verified, nothing there is ever
// replaced, and nothing is written through a link.
import { constants, type Stats } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, realpath, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, ImpoundError, isBundlePath } from '../../../evidence/index.ts';

const { O_RDWR, O_CREAT, O_NOFOLLOW, O_RDONLY, O_NONBLOCK } = constants;

/** A file that is being fetched. */
export interface PartialFile {
  readonly handle: FileHandle;
  /** Bytes that an earlier try left. */
  readonly size: number;
  /** Puts it under its path; false where another file took that meanwhile. */
  publish(): Promise<boolean>;
  /** Closes it; what was fetched is kept for the next try. */
  close(): Promise<void>;
  /** Closes and removes it. */
  discard(): Promise<void>;
}

export class PullFolder {
  readonly path: string;
  readonly #partial: string;
  readonly #made = new Map<string, Promise<void>>();

  /** `name` is one segment; `directory` is the person's. */
  constructor(directory: string, name: string) {
    if (!isBundlePath(name) || name.includes('/'))
      throw new ImpoundError('not-a-bundle', 'the bundle has no name that a folder could have', { operation: 'pull' });
    this.path = join(directory, name);
    this.#partial = join(directory, '.impound-pull', name);
  }

  async prepare(): Promise<void> {
    await this.#folder(this.path);
    await this.#folder(this.#partial);
  }

  /** The whole file that stands there already. The caller closes it. */
  async existing(path: string): Promise<{ readonly handle: FileHandle; readonly size: number } | undefined> {
    try {
      await this.#folder(dirname(join(this.path, path)));
      const handle = await open(join(this.path, path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      const found = await handle.stat();
      if (found.isFile()) return { handle, size: found.size };
      await handle.close();
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw this.#failed(error, path);
    }
    throw this.#failed(new Error('something that is no file stands there'), path);
  }

  async partial(path: string): Promise<PartialFile> {
    const temporary = join(this.#partial, path.replaceAll('/', '%'));
    try {
      await this.#folder(dirname(join(this.path, path)));
      const handle = await open(temporary, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
      const { size } = await handle.stat();
      const close = (): Promise<void> => handle.close();
      return {
        handle,
        size,
        publish: () => this.#publish(handle, temporary, path),
        close,
        discard: async () => {
          await close();
          await unlink(temporary);
        },
      };
    } catch (error) {
      throw this.#failed(error, path);
    }
  }

  /** Removes what half files were in, once there are none. */
  async finish(): Promise<void> {
    for (const folder of [this.#partial, dirname(this.#partial)]) await rmdir(folder).catch(() => undefined); // halves of files that failed, or another bundle's, are in it still
  }

  async #publish(handle: FileHandle, temporary: string, path: string): Promise<boolean> {
    try {
      await handle.datasync();
      await handle.close();
      await link(temporary, join(this.path, path));
      await unlink(temporary);
      return true;
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return false;
      throw this.#failed(error, path);
    }
  }

  #folder(folder: string): Promise<void> {
    const known = this.#made.get(folder) ?? makePlainFolder(folder);
    this.#made.set(folder, known);
    return known;
  }

  #failed(error: unknown, path: string): ImpoundError {
    if (error instanceof ImpoundError) return error;
    const why = errnoOf(error) ?? (error instanceof Error ? error.message : String(error));
    const code = why === 'ENOSPC' ? 'store-full' : 'store-failed';
    return new ImpoundError(code, `cannot write ${join(this.path, path)}: ${why}`, {
      operation: 'pull',
      thing: path,
      cause: error,
    });
  }
}

/** Throws where a link is on the way: what is fetched would land where the link leads. */
async function makePlainFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const above = await realpath(dirname(folder));
  const found: Stats = await lstat(folder);
  const real = await realpath(folder);
  if (found.isDirectory() && dirname(real) === above && (await stat(folder)).ino === found.ino) return;
  throw new ImpoundError('store-denied', `${folder} is a link: nothing is written through it`, {
    operation: 'pull',
    thing: folder,
  });
}
