// Zstandard frames that stand alone, and the table that lets other tools find them (RFC 8878).
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';

const compress = promisify(zstdCompress);
/** Level 1 keeps up with a disk on one core. */
const LEVEL = 1;
/** Output is made in pieces of this size; each costs a trip to the thread pool. */
const OUTPUT_BYTES = 1024 ** 2;

const SKIPPABLE_MAGIC = 0x184d2a5e;
const SEEKABLE_MAGIC = 0x8f92eab1;

/** One frame with its content's size and checksum, made on libuv's thread pool. */
export function frameOf(content: Uint8Array): Promise<Buffer> {
  return compress(content, {
    chunkSize: OUTPUT_BYTES,
    pledgedSrcSize: content.length,
    params: { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 },
  });
}

/** Bytes of a frame, and of its content. */
export interface FrameSizes {
  readonly stored: number;
  readonly content: number;
}

/**
 * The skippable frame that ends a file in zstd's seekable format (contrib/seekable_format in zstd's sources), without
 * checksums: the frames have their own. Decoders that do not know it skip it.
 */
export function seekTable(frames: readonly FrameSizes[]): Buffer {
  const table = Buffer.alloc(8 + 8 * frames.length + 9);
  table.writeUInt32LE(SKIPPABLE_MAGIC, 0);
  table.writeUInt32LE(table.length - 8, 4);
  for (const [index, { stored, content }] of frames.entries()) {
    table.writeUInt32LE(stored, 8 + 8 * index);
    table.writeUInt32LE(content, 12 + 8 * index);
  }
  table.writeUInt32LE(frames.length, table.length - 9);
  table.writeUInt32LE(SEEKABLE_MAGIC, table.length - 4);
  return table;
}
