// Time stamps of custody entries: taken while a capture runs, or added to its bundle later.
import { describeError, ImpoundError } from '../errors.ts';
import { sha256 } from '../format/digest.ts';
import { MAX_ENTRY_BYTES } from '../format/envelope.ts';
import { entryPath, timestampPath } from '../format/layout.ts';
import type { Logger } from '../ports.ts';
import { readWhole, type Store } from '../store/store.ts';
import type { Custody } from './bundle.ts';
import { type ChainEntry, readChain } from './chain-reader.ts';
import { type ChainHead, ChainWriter } from './chain-writer.ts';
import { takesEntriesBy } from './introduced.ts';
import { requestTimestamp, type TimestampRequestOptions } from './timestamp-request.ts';

/** What became of one entry's time stamp. */
export type Stamp =
  | {
      readonly kind: 'stamped';
      readonly entry: number;
      readonly path: string;
      /** Of the stored token. */
      readonly sha256: string;
      /** The authority's, RFC 3339 UTC. */
      readonly time: string;
      readonly url: string;
    }
  | { readonly kind: 'unavailable'; readonly entry: number; readonly tried: readonly Tried[] };

export interface Tried {
  readonly url: string;
  readonly error: string;
}

/**
 * Stores a token over an entry, from the first authority that gives one; it proves itself and needs no entry. Where none
 * does, a `note` entry with the reason `tsa-unavailable` says so. Throws what the store throws.
 */
export async function stampEntry(
  store: Store,
  chain: ChainWriter,
  sequence: number,
  urls: readonly string[],
  options: TimestampRequestOptions = {},
): Promise<Stamp> {
  const stamp = await storeTimestamp(store, sequence, urls, options);
  if (stamp.kind === 'unavailable') {
    await chain.append('note', { reason: 'tsa-unavailable', entry: sequence, tried: stamp.tried });
  }
  return stamp;
}

async function storeTimestamp(
  store: Store,
  sequence: number,
  urls: readonly string[],
  options: TimestampRequestOptions,
): Promise<Stamp> {
  const bytes = await readWhole(store, entryPath(sequence), MAX_ENTRY_BYTES);
  const tried: Tried[] = [];
  for (const url of urls) {
    let response: Awaited<ReturnType<typeof requestTimestamp>>;
    try {
      response = await requestTimestamp(url, bytes, options);
    } catch (error) {
      tried.push({ url, error: describeError(error) });
      continue;
    }
    const path = timestampPath(sequence);
    await store.put(path, response.bytes);
    const digest = sha256(response.bytes);
    return { kind: 'stamped', entry: sequence, path, sha256: digest, time: response.time.toISOString(), url };
  }
  return { kind: 'unavailable', entry: sequence, tried };
}

/** The time stamps of a capture, beside which it goes on. */
export interface CaptureStamps {
  /** Waits for the grant's, at most until every authority's deadline; to be called before the bundle is closed. */
  readonly beforeClose: () => Promise<void>;
  /** Takes the seal's and gives the chain's newest head, which a note may have become. */
  readonly afterSeal: (seal: ChainHead) => Promise<ChainHead>;
}

/**
 * Asks for the grant's token at once and in the background. Nothing here fails a capture: what the store does not take is
 * logged, and it fails by itself then.
 */
export function stampCapture(
  store: Store,
  chain: ChainWriter,
  urls: readonly string[],
  log: Logger,
  options: TimestampRequestOptions = {},
): CaptureStamps {
  let order = urls;
  const stamp = async (sequence: number): Promise<void> => {
    if (urls.length === 0) return;
    try {
      const stamped = await stampEntry(store, chain, sequence, order, options);
      if (stamped.kind === 'unavailable') log.warn('no authority gave a time stamp', { ...stamped });
      // the seal shall not wait once more for those that were silent
      else order = [stamped.url, ...urls.filter((url) => url !== stamped.url)];
    } catch (error) {
      log.error('a time stamp could not be kept', { entry: sequence, error: describeError(error) });
    }
  };
  const stampGrant = async (): Promise<void> => {
    // a capture that was taken over may have it already
    const there = urls.length > 0 && (await store.size(timestampPath(0)).catch(() => undefined)) !== undefined;
    if (!there) await stamp(0);
  };
  const grant = stampGrant();
  return {
    beforeClose: () => grant,
    afterSeal: async (seal) => {
      await stamp(seal.sequence);
      return chain.head;
    },
  };
}

export interface AddedTimestamps {
  readonly stamps: readonly Stamp[];
  /** The newest entry: the `timestamp` entry that names what was added, or the one there was where nothing was. */
  readonly head: ChainHead;
  readonly sealed: boolean;
}

/**
 * Adds the tokens that grant, seal and newest entry lack, and one `timestamp` entry that names them. The newest entry is
 * left alone where it is such an entry itself: else every call would find something to do. Throws `key-unsuitable` where
 * the bundle is not sealed and its chain does not know the signer, whose entry would break it.
 */
export async function addTimestamps(
  { store, signer, actor, clock }: Omit<Custody, 'software'>,
  urls: readonly string[],
  options: TimestampRequestOptions = {},
): Promise<AddedTimestamps> {
  const entries = await readChain(store);
  const sealed = entries.some(({ statement }) => statement.predicate.action === 'seal');
  assertTakesEntries(entries, signer.keyid);
  const bundle = entries[0]?.statement.predicate.bundle ?? '';
  const chain = new ChainWriter({ store, bundle, signer, actor, clock, entries });
  const stamps: Stamp[] = [];
  for (const sequence of await unstamped(store, entries)) {
    const stamp = await storeTimestamp(store, sequence, urls, options);
    stamps.push(stamp);
    if (stamp.kind === 'unavailable') break; // the next entry would wait for the same authorities again
  }
  const added = stamps.filter((stamp) => stamp.kind === 'stamped');
  if (added.length > 0) {
    const subjects = added.map((stamp) => ({ name: stamp.path, digest: { sha256: stamp.sha256 } }));
    const tokens = added.map(({ entry, time, url }) => ({ entry, time, url }));
    await chain.append('timestamp', { tokens }, { subjects });
  }
  return { stamps, head: chain.head, sealed };
}

async function unstamped(store: Store, entries: readonly ChainEntry[]): Promise<readonly number[]> {
  const last = entries.at(-1);
  const wanted = entries.filter(({ sequence, statement: { predicate } }) => {
    if (sequence === 0 || predicate.action === 'seal') return true;
    return sequence === last?.sequence && predicate.action !== 'timestamp';
  });
  const missing: number[] = [];
  for (const { sequence } of wanted) {
    if ((await store.size(timestampPath(sequence))) === undefined) missing.push(sequence);
  }
  return missing;
}

function assertTakesEntries(entries: readonly ChainEntry[], keyid: string): void {
  if (takesEntriesBy(entries, keyid)) return;
  throw new ImpoundError(
    'key-unsuitable',
    `the bundle is not sealed and was begun with key ${entries[0]?.envelope.keyid}, this is key ${keyid}: give the same one as --key`,
    { operation: 'add time stamps', thing: entryPath(0) },
  );
}
