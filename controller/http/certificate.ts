// The server's certificate and key: read again when their files change, since both are replaced while it runs.
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { describeError, type Logger } from '../../evidence/index.ts';

export interface TlsFiles {
  /** Path of a PEM file: the certificate, then those between it and the authority. */
  readonly cert: string;
  readonly key: string;
}

export interface TlsPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

const POLL_MILLISECONDS = 2000;
/** Of a private key and a chain of certificates; a larger file is something else. */
const MAX_BYTES = 256 * 1024;

/** Throws where the pair is missing, unreadable, or not of one another. */
export async function readPair(files: TlsFiles): Promise<TlsPair> {
  const [cert, key] = await Promise.all([bounded(files.cert), bounded(files.key)]);
  createSecureContext({ cert, key });
  return { cert, key };
}

/**
 * Hands over each new pair that is whole. Polled, since a watch on a symbolic link that Kubernetes swaps misses the
 * change. Returns what ends it.
 */
export function watchPair(files: TlsFiles, log: Logger, renewed: (pair: TlsPair) => void, first: string): () => void {
  let [seen, told] = [first, ''];
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  const look = async (): Promise<void> => {
    const before = await stateOf(files);
    if (before === seen) return;
    try {
      const pair = await readPair(files);
      // changed while it was read: the next look sees both of one time
      if ((await stateOf(files)) !== before || ended) return;
      renewed(pair);
      log.info('the TLS certificate was read again', { path: files.cert });
    } catch (error) {
      if (told !== before)
        log.error('the new TLS certificate or key cannot be used: the one before stays', {
          path: files.cert,
          error: describeError(error),
        });
      told = before;
      return; // tried again at each look: a file may become readable without having changed
    }
    seen = before;
  };
  const next = (): void => {
    if (ended) return;
    timer = setTimeout(() => void look().finally(next), POLL_MILLISECONDS);
    timer.unref();
  };
  next();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

/** What changes when one of the files does, or what a link on the way to it means. */
export async function stateOf({ cert, key }: TlsFiles): Promise<string> {
  const states = [cert, key].map((path) =>
    stat(path, { bigint: true }).then(
      ({ dev, ino, size, mtimeNs }) => [dev, ino, size, mtimeNs].join(':'),
      (error: unknown) => describeError(error),
    ),
  );
  return (await Promise.all(states)).join(' ');
}

async function bounded(path: string): Promise<Buffer> {
  const { size } = await stat(path);
  if (size > MAX_BYTES) throw new Error(`${path} has ${size} bytes, which is no certificate and no key`);
  return readFile(path);
}
