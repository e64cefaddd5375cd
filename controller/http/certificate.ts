// The server's certificate and key: read again when their files change, since both are replaced while it runs. One that
// agents would refuse does not take the place of one that they take.
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { type Clock, describeError, type Logger } from '../../evidence/index.ts';
import { expiresSoon, fieldsOf, type Leaf, leafOf, type Untimely, untimely } from './leaf.ts';

export interface TlsFiles {
  /** Path of a PEM file: the certificate, then those between it and the authority. */
  readonly cert: string;
  readonly key: string;
}

export interface TlsPair {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly leaf: Leaf;
}

/** What is served; and what stands in the files, where that is worse. */
export interface Certificates {
  readonly served: Leaf;
  readonly refused?: Leaf;
}

export interface PairWatch {
  readonly files: TlsFiles;
  /** What is served now, and `stateOf` of its files before they were read. */
  readonly first: { readonly pair: TlsPair; readonly state: string };
  readonly clock: Clock;
  readonly log: Logger;
  readonly renewed: (pair: TlsPair) => void;
  /** After each look. */
  readonly told: (certificates: Certificates) => void;
}

const POLL_MILLISECONDS = 2000;
/** Of a private key and a chain of certificates; a larger file is something else. */
const MAX_BYTES = 256 * 1024;
const SAY_AGAIN_MILLISECONDS = 3600_000;

const REMEDY = 'put a valid one into the Secret impound-controller-tls: it is read again by itself';
export const SAYS: Readonly<Record<Untimely, string>> = {
  'certificate-expired': 'has expired',
  'certificate-not-yet-valid': 'is not valid yet',
};

/** Throws where the pair is missing, unreadable, or not of one another. */
export async function readPair(files: TlsFiles): Promise<TlsPair> {
  const [cert, key] = await Promise.all([bounded(files.cert), bounded(files.key)]);
  createSecureContext({ cert, key });
  return { cert, key, leaf: leafOf(cert) };
}

/**
 * Hands over each new pair that is whole, but for one that is out of its time while the one before is not. Polled, since
 * a watch on a symbolic link that Kubernetes swaps misses the change. Returns what ends it.
 */
export function watchPair({ files, first, clock, log, renewed, told }: PairWatch): () => void {
  let { pair: served, state: seen } = first;
  /** State of the files of which it was said that they cannot be used. */
  let broken = '';
  let refused: Leaf | undefined;
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  const warn = warner(files.cert, log);

  const look = async (): Promise<void> => {
    const before = await stateOf(files);
    if (before === seen) return;
    try {
      const pair = await readPair(files);
      // changed while it was read: the next look sees both of one time
      if ((await stateOf(files)) !== before || ended) return;
      const why = untimely(pair.leaf, clock.now());
      if (why !== undefined && untimely(served.leaf, clock.now()) === undefined) {
        refuse(pair.leaf, why);
        return; // looked at each time: it may begin to be valid, or the one that is served may end
      }
      served = pair;
      refused = undefined;
      renewed(pair);
      log.info('the TLS certificate was read again', { path: files.cert, ...fieldsOf(pair.leaf) });
    } catch (error) {
      if (broken !== before)
        log.error(`the new TLS certificate or key cannot be used: the one before stays; ${REMEDY}`, {
          ...{ code: 'certificate-unusable', path: files.cert, error: describeError(error) },
          servedUntil: served.leaf.until.toISOString(),
        });
      broken = before;
      return; // tried again at each look: a file may become readable without having changed
    }
    seen = before;
  };
  const refuse = (leaf: Leaf, code: Untimely): void => {
    if (refused?.sha256 === leaf.sha256) return;
    refused = leaf;
    const servedUntil = served.leaf.until.toISOString();
    const fields = { code, path: files.cert, ...fieldsOf(leaf), servedUntil };
    log.error(`the new TLS certificate ${SAYS[code]}: the one before stays; ${REMEDY}`, fields);
  };
  const tell = (): void => {
    warn(served.leaf, clock.now());
    told({ served: served.leaf, ...(refused === undefined ? {} : { refused }) });
  };
  const next = (): void => {
    if (ended) return;
    const turn = async (): Promise<void> => {
      await look();
      if (!ended) tell();
    };
    timer = setTimeout(() => void turn().finally(next), POLL_MILLISECONDS);
    timer.unref();
  };
  tell();
  next();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

/** Says once an hour that the one that is served is out of its time, and once that it will be soon. */
function warner(path: string, log: Logger): (leaf: Leaf, now: Date) => void {
  let [warned, at] = ['', Number.NEGATIVE_INFINITY];
  return (leaf, now) => {
    const code = untimely(leaf, now) ?? (expiresSoon(leaf, now) ? 'certificate-expires-soon' : undefined);
    if (code === undefined) return;
    const key = `${leaf.sha256} ${code}`;
    const isDue = code !== 'certificate-expires-soon' && performance.now() - at > SAY_AGAIN_MILLISECONDS;
    if (warned === key && !isDue) return;
    [warned, at] = [key, performance.now()];
    const fields = { code, path, ...fieldsOf(leaf) };
    if (code === 'certificate-expires-soon') log.warn(`the TLS certificate expires soon: ${REMEDY}`, fields);
    else log.error(`the TLS certificate ${SAYS[code]}, and no agent takes it: ${REMEDY}`, fields);
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
