// A block device that is open for reading: bytes at a position, a deadline for each read, and whether it is still there.
import { read as readCallback } from 'node:fs';
import { promisify } from 'node:util';
import { within } from '../../../evidence/index.ts';
import { type DirectReader, openDirect } from './direct.ts';

const readAsync = promisify(readCallback);

/** What an image is made of. */
export interface Source {
  /** Bytes. */
  readonly bytes: number;
  /** Logical block size: what can be unreadable on its own. */
  readonly blockBytes: number;
  /** Fills `buffer` from `position` as far as that goes, read(2): 0 at the end. Throws the system's error. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** The same for few bytes around a bad sector: whole blocks, up to `SMALL_BYTES`, without what lies beside them. */
  readSmall(buffer: Uint8Array, position: number): Promise<number>;
  /** False once the device has been removed, or another stands in its place. */
  present(): boolean;
}

/** Read around bad sectors at once while nothing fails. */
export const SMALL_BYTES = 65_536;

/** A read that did not come back. Its thread and its buffer are lost until the kernel gives up. */
export class Hung extends Error {}

/** The device is gone. */
export class Removed extends Error {}

/** A source that holds a descriptor of its own once it has met a bad sector. */
export interface DeviceSource extends Source {
  close(): void;
}

/**
 * Reads through the page cache: an image is what a program on the node would read, and posix_fadvise(2), by which the
 * cache could be spared, is not among Node's calls. The kernel drops such pages first, being read once.
 */
export function deviceSource(
  fd: number,
  about: Pick<Source, 'bytes' | 'blockBytes' | 'present'>,
  hungMilliseconds: number,
): DeviceSource {
  let direct: Promise<DirectReader | undefined> | undefined;
  const read = async (buffer: Uint8Array, position: number): Promise<number> => {
    const { bytesRead } = await unlessHung(readAsync(fd, buffer, 0, buffer.length, position), hungMilliseconds);
    return bytesRead;
  };
  return {
    ...about,
    read,
    async readSmall(buffer, position) {
      direct ??= openDirect(fd, about.blockBytes, SMALL_BYTES);
      const reader = await unlessHung(direct, hungMilliseconds);
      const aligned = buffer.length % about.blockBytes === 0 && position % about.blockBytes === 0;
      return reader === undefined || !aligned
        ? read(buffer, position)
        : unlessHung(reader.read(buffer, position), hungMilliseconds);
    },
    close() {
      direct?.then((reader) => reader?.close());
    },
  };
}

/** Throws Hung where it does not come back in time. */
export function unlessHung<T>(answer: Promise<T>, milliseconds: number): Promise<T> {
  return within(answer, milliseconds, () => {
    throw new Hung('reading it did not come back');
  });
}
