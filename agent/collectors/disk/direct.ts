// Reads past the page cache, for bad sectors: the cache reads in folios of up to megabytes, and one bad sector in a folio
// makes all of it unreadable, however little is asked for.
import { close, constants, open as openCallback, read as readCallback } from 'node:fs';
import { promisify } from 'node:util';
import { errnoOf } from '../../host/errno.ts';

const openAsync = promisify(openCallback);
const readAsync = promisify(readCallback);

/** What malloc(3) aligns to, and the most that any device asks for: open(2), "O_DIRECT". */
const ALIGNED_ANYHOW = 16;
const PAGE_BYTES = 4096;

export interface DirectReader {
  /** As read(2), whole blocks at a multiple of the block size. One call at a time. Throws the system's error. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  close(): void;
}

/**
 * Opens the device that is open as `fd` once more with O_DIRECT. It wants aligned memory, and where a buffer lies cannot
 * be asked in JavaScript: the kernel is, at one start after another, until it no longer answers EINVAL. Undefined where
 * it never does. Not for a whole image: the kernel writes out what is dirty in the range before such a read.
 */
export async function openDirect(fd: number, blockBytes: number, most: number): Promise<DirectReader | undefined> {
  let direct: number;
  try {
    direct = await openAsync(`/proc/self/fd/${fd}`, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_DIRECT);
  } catch {
    return undefined; // the cached way is left
  }
  const memory = Buffer.allocUnsafeSlow(most + PAGE_BYTES);
  for (let start = 0; start < PAGE_BYTES; start += ALIGNED_ANYHOW) {
    const aligned = memory.subarray(start, start + most);
    try {
      await readAsync(direct, aligned, 0, blockBytes, 0);
    } catch (error) {
      if (errnoOf(error) === 'EINVAL') continue;
    }
    return {
      async read(buffer, position) {
        const { bytesRead } = await readAsync(direct, aligned, 0, buffer.length, position);
        buffer.set(aligned.subarray(0, bytesRead));
        return bytesRead;
      },
      close: () => close(direct, () => undefined),
    };
  }
  close(direct, () => undefined);
  return undefined;
}
