// Bounded reading: procfs files into one reused buffer, a host's regular file whole, or in chunks.
import { type BigIntStats, closeSync, fstatSync, read as readCallback, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { Refusal } from './errno.ts';
import { type OpenFile, openBelow, openKernelFile } from './open.ts';

const readAsync = promisify(readCallback);
const CHUNK_BYTES = 1024 * 1024;
const COUNTED_BYTES = 64 * 1024 * 1024;

/** What was read. `left` is how many bytes the bound cut off; counted up to 64 MiB for files without a size. */
export interface Reading {
  readonly bytes: Buffer;
  readonly left: number;
}

export interface KernelReader {
  /** Reads a file of procfs or sysfs up to `bound` bytes. `bytes` is a view that the next read overwrites. */
  read(path: string, bound: number): Reading;
}

/** A reader with one buffer that grows to the largest bound asked for. Throws the system's errors. */
export function kernelReader(): KernelReader {
  let buffer = Buffer.allocUnsafeSlow(65_536);
  return {
    read(path, bound) {
      const fd = openKernelFile(path);
      try {
        if (!fstatSync(fd).isFile()) throw new Refusal('skipped', 'not a regular file');
        let size = 0;
        for (;;) {
          if (size === buffer.length && size < bound) {
            const grown = Buffer.allocUnsafeSlow(Math.min(buffer.length * 4, Math.max(bound, buffer.length)));
            buffer.copy(grown);
            buffer = grown;
          }
          const room = Math.min(bound, buffer.length) - size;
          if (room === 0) return { bytes: buffer.subarray(0, size), left: countRest(fd) };
          const got = readSync(fd, buffer, size, room, null);
          if (got === 0) return { bytes: buffer.subarray(0, size), left: 0 };
          size += got;
        }
      } finally {
        closeSync(fd);
      }
    },
  };
}

/** A small file of procfs or sysfs as text without its last newline (latin1: one character a byte). Throws. */
export function readKernelText(path: string, bound = 65_536): string {
  return kernelReader().read(path, bound).bytes.toString('latin1').replace(/\n$/, '');
}

/** The regular file `path` below `root`, up to `bound` bytes. Throws the system's errors. */
export function readBelow(root: string, path: string, bound: number): Reading & { readonly stats: BigIntStats } {
  const { fd, stats } = openBelow(root, path);
  try {
    const bytes = Buffer.allocUnsafe(Math.min(Number(stats.size), bound));
    let size = 0;
    while (size < bytes.length) {
      const got = readSync(fd, bytes, size, bytes.length - size, size);
      if (got === 0) break;
      size += got;
    }
    return { bytes: bytes.subarray(0, size), left: Math.max(0, Number(stats.size) - bound), stats };
  } finally {
    closeSync(fd);
  }
}

/** An open file's first `bound` bytes in chunks of 1 MiB, read off the main thread; closes it at the end. */
export async function* streamFile(file: OpenFile, bound = Number.MAX_SAFE_INTEGER): AsyncGenerator<Buffer> {
  try {
    let position = 0;
    while (position < bound) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, bound - position));
      const { bytesRead } = await readAsync(file.fd, chunk, 0, chunk.length, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield chunk.subarray(0, bytesRead);
    }
  } finally {
    closeSync(file.fd);
  }
}

function countRest(fd: number): number {
  const scratch = Buffer.allocUnsafe(65_536);
  let rest = 0;
  while (rest < COUNTED_BYTES) {
    const got = readSync(fd, scratch, 0, scratch.length, null);
    if (got === 0) break;
    rest += got;
  }
  return rest;
}
