// Zstandard, streamed: one frame out with a flush at every part, any number of frames in (RFC 8878).
import type { Transform } from 'node:stream';
import { constants, createZstdCompress, createZstdDecompress, type ZstdDecompress } from 'node:zlib';
import { ImpoundError } from '../errors.ts';

/** Stored bytes after which the frame is flushed, so that an object cut off there still decodes: one upload part. */
const PART_BYTES = 16 * 1024 * 1024;
/** And at least this often while content comes, for the sake of a capture that is killed. */
const FLUSH_MILLISECONDS = 1000;
/** Level 1 keeps up with a disk on one core; evidence is read once or twice. */
const LEVEL = 1;
/** Largest window a frame may ask for, 2^27 = 128 MiB: what `zstd` itself takes without being asked. */
const WINDOW_LOG_MAX = 27;

export interface CompressedStream extends AsyncIterable<Uint8Array> {
  /** Bytes read from the source so far. */
  readonly contentSize: number;
}

/** Compresses `content`; iterating ends when it has been read and flushed, and throws what reading it threw. */
export function zstdCompress(content: AsyncIterable<Uint8Array>): CompressedStream {
  let contentSize = 0;
  async function* compress(): AsyncGenerator<Uint8Array> {
    const stream = createZstdCompress({
      chunkSize: 256 * 1024,
      params: { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 },
    });
    const feeding = (async () => {
      let unflushed = 0;
      let flushed = performance.now();
      try {
        for await (const chunk of content) {
          contentSize += chunk.length;
          unflushed += chunk.length;
          if (!stream.write(chunk)) await drained(stream);
          if (stream.destroyed) return;
          if (unflushed >= PART_BYTES || performance.now() - flushed > FLUSH_MILLISECONDS) {
            unflushed = 0;
            flushed = performance.now();
            stream.flush(constants.ZSTD_e_flush);
          }
        }
      } finally {
        // what was read before a failure is kept: the frame is ended, then the failure is thrown
        stream.end();
      }
    })();
    feeding.catch(() => undefined); // thrown below, once the frame is out
    try {
      for await (const chunk of stream) yield chunk as Uint8Array;
      await feeding;
    } finally {
      stream.destroy();
    }
  }
  const iterator = compress();
  return {
    get contentSize() {
      return contentSize;
    },
    [Symbol.asyncIterator]: () => iterator,
  };
}

/** Waits until more may be written, or the stream has gone. */
function drained(stream: Transform): Promise<void> {
  if (stream.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done);
      stream.off('close', done);
      resolve();
    };
    stream.on('drain', done);
    stream.on('close', done);
  });
}

/**
 * Decompresses all frames. Throws `content-damaged` on anything that is not a frame, `content-too-large` past `limit`
 * bytes of content. Node's own stream stops silently after the first frame, hence the loop.
 */
export async function* zstdDecompress(
  stored: AsyncIterable<Uint8Array>,
  limit: number,
  thing: string,
): AsyncGenerator<Uint8Array> {
  const source = new Pushback(stored);
  let total = 0;
  for (let frame = 0; ; frame++) {
    const first = await source.next();
    if (first === undefined) {
      if (frame === 0) throw damaged(thing, new Error('empty'));
      return;
    }
    source.unread(first);
    for await (const chunk of decompressFrame(source, thing)) {
      total += chunk.length;
      if (total > limit) {
        throw new ImpoundError(
          'content-too-large',
          `${thing} expands to more than ${limit} bytes; it was read no further`,
          {
            operation: 'decompress',
            thing,
          },
        );
      }
      yield chunk;
    }
  }
}

async function* decompressFrame(source: Pushback, thing: string): AsyncGenerator<Uint8Array> {
  const stream = createZstdDecompress({
    chunkSize: 256 * 1024,
    params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX },
  });
  const given: Uint8Array[] = [];
  let before = 0;
  let ended = false;
  const feeding = (async () => {
    for (;;) {
      const chunk = await source.next();
      if (chunk === undefined) break;
      given.push(chunk);
      const room = stream.write(chunk);
      // only the newest chunks can still be unread when the frame ends
      while (given.length > 4 && given[0] !== undefined && before + given[0].length <= stream.bytesWritten) {
        before += given.shift()?.length ?? 0;
      }
      if (!room) await drained(stream);
      if (ended) return;
    }
    stream.end();
  })();
  feeding.catch((error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error))));
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (cause) {
    if (cause instanceof ImpoundError) throw cause;
    throw damaged(thing, cause);
  } finally {
    ended = true;
    stream.destroy();
    await feeding.catch(() => undefined);
  }
  source.unreadFrom(given, consumedOf(stream) - before);
}

function consumedOf(stream: ZstdDecompress): number {
  return stream.bytesWritten;
}

function damaged(thing: string, cause: unknown): ImpoundError {
  return new ImpoundError('content-damaged', `${thing} is not whole zstd frames`, {
    operation: 'decompress',
    thing,
    cause,
  });
}

/** An async iterator whose chunks can be given back. */
class Pushback {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #unread: Uint8Array[] = [];

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#unread.shift() ?? (await this.#pull());
      if (chunk === undefined || chunk.length > 0) return chunk;
    }
  }

  async #pull(): Promise<Uint8Array | undefined> {
    const { value, done } = await this.#iterator.next();
    return done === true ? undefined : value;
  }

  unread(chunk: Uint8Array): void {
    this.#unread.unshift(chunk);
  }

  /** Gives back what of `chunks` lies past the first `consumed` bytes. */
  unreadFrom(chunks: readonly Uint8Array[], consumed: number): void {
    let skip = consumed;
    const rest: Uint8Array[] = [];
    for (const chunk of chunks) {
      if (chunk.length > skip) rest.push(chunk.subarray(skip));
      skip = Math.max(0, skip - chunk.length);
    }
    this.#unread = [...rest, ...this.#unread];
  }
}
