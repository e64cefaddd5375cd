// All objects of one kind as the API server has them, followed until the signal aborts, whatever happens on the way.
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, ImpoundError, type Logger } from '../evidence/index.ts';
import { type Backoff, waitAfter } from './backoff.ts';
import type { Kubernetes, KubernetesObject, WatchEvent } from './client.ts';
import { type ObjectCache, objectCache } from './object-cache.ts';

/** A longer silence is a connection that hangs. */
const SILENCE_MILLISECONDS = 90_000;
/**
 * Of the silence; after this the server ends a watch by itself, and it is begun again. Bookmarks alone would not do: a
 * server sends none of a kind that nobody has changed since it was started.
 */
const WATCH_SHARE = 2 / 3;
const BACKOFF: Backoff = { first: 100, most: 10_000 };
/** Going on from where it was has failed so often: the list says what is true. */
const RESUMES = 3;
/** A watch that the server ended sooner, without an event, was no watch. */
const SHORT_MILLISECONDS = 500;

export interface WatchOptions<T> {
  readonly kubernetes: Pick<Kubernetes, 'list' | 'watch'>;
  /** Of the list: `/api/v1/nodes`. */
  readonly path: string;
  /** `fieldSelector`, `labelSelector`. */
  readonly query?: Readonly<Record<string, string>>;
  /** Objects come with nothing but their metadata, and of that name, namespace, uid and version are kept. */
  readonly metadataOnly?: boolean;
  readonly log: Logger;
  /**
   * Called after the cache has it, once for each change that is seen; undefined: the object is gone. What happened
   * while the server was away comes after it is back, each object once; one of the same name made anew is told twice.
   */
  changed(name: string, object: T | undefined): void;
  readonly signal: AbortSignal;
  /** 90 s where absent. */
  readonly silenceMilliseconds?: number;
}

export interface Watched<T> {
  /** `NAME`, of what is in a namespace `NAMESPACE/NAME`. */
  get(name: string): T | undefined;
  all(): readonly T[];
  /** When the first list has been told whole. Never rejects; resolves also when the signal aborts before. */
  readonly synced: Promise<void>;
  /** When it has ended by the signal: `changed` is not called any more. Never rejects. */
  readonly ended: Promise<void>;
  /** The server was heard of lately, and the list is there. */
  readonly healthy: boolean;
  /** When the server was last heard of, in milliseconds of `performance.now()`. */
  readonly lastContact: number | undefined;
}

export function watchObjects<T extends KubernetesObject>(options: WatchOptions<T>): Watched<T> {
  const { silenceMilliseconds = SILENCE_MILLISECONDS, log, path } = options;
  const cache = objectCache<T>((name, object) => {
    try {
      options.changed(name, object);
    } catch (error) {
      log.error('a change could not be taken in', { path, name, error: describeError(error) });
    }
  });
  const synced = Promise.withResolvers<void>();
  let isSynced = false;
  let lastContact: number | undefined;
  const heard = (listed = false): void => {
    lastContact = performance.now();
    if (!listed || isSynced) return;
    isSynced = true;
    synced.resolve();
  };
  const ended = follow(options, silenceMilliseconds, cache, heard).finally(synced.resolve);
  return {
    get: cache.get,
    all: cache.all,
    synced: synced.promise,
    ended,
    get healthy() {
      return isSynced && lastContact !== undefined && performance.now() - lastContact <= silenceMilliseconds;
    },
    get lastContact() {
      return lastContact;
    },
  };
}

async function follow<T extends KubernetesObject>(
  { kubernetes, path, query, metadataOnly = false, log, signal }: WatchOptions<T>,
  silence: number,
  cache: ObjectCache<T>,
  heard: (listed?: boolean) => void,
): Promise<void> {
  /** Where the watch goes on; undefined: the list is asked for first. */
  let version: string | undefined;
  let failures = 0;
  let broken = false;
  const goesOn = (): void => {
    if (broken) log.info('the watch goes on', { path });
    broken = false;
  };

  const kept = (object: T): T => {
    if (!metadataOnly) return object;
    const { name, namespace, uid, resourceVersion } = object.metadata;
    return { ...object, metadata: { name, uid, resourceVersion, ...(namespace === undefined ? {} : { namespace }) } };
  };

  const list = async (): Promise<string> => {
    const { items, metadata } = await kubernetes.list<T>(path, { ...(query && { query }), metadataOnly, signal });
    if (!metadata.resourceVersion) throw new Error('the list has no resourceVersion');
    cache.replace(items.map(kept));
    heard(true);
    return metadata.resourceVersion;
  };

  const watch = async (from: string): Promise<void> => {
    const timeoutSeconds = Math.floor((silence / 1000) * WATCH_SHARE);
    const words = { ...query, resourceVersion: from, allowWatchBookmarks: true, timeoutSeconds };
    const begun = performance.now();
    let events = 0;
    const ask = { query: words, metadataOnly, signal, milliseconds: silence };
    for await (const event of kubernetes.watch<T>(path, ask, goesOn)) {
      if (signal.aborted) return;
      if (event.type === 'ERROR') throw told(event, path);
      const next = event.object.metadata.resourceVersion;
      if (event.type !== 'BOOKMARK') cache.take(event.type === 'DELETED', kept(event.object));
      version = next;
      events++;
      failures = 0;
      heard();
    }
    if (events === 0 && performance.now() - begun < SHORT_MILLISECONDS) throw new Error('the watch ended at once');
    failures = 0;
    heard();
  };

  while (!signal.aborted) {
    try {
      version ??= await list();
      await watch(version);
    } catch (error) {
      if (signal.aborted) return;
      failures++;
      broken = true;
      const resumes = resumable(error) && failures % RESUMES !== 0;
      if (!resumes) version = undefined;
      // an expired version is the server's ordinary answer after it was started again: the list is asked for at once
      const wait = failures === 1 && !resumes ? 0 : waitAfter(failures, BACKOFF);
      const code = error instanceof ImpoundError ? error.code : undefined;
      log.warn('a watch broke off', { path, code, error: describeError(error), failures, wait: Math.round(wait) });
      await sleep(wait, undefined, { signal }).catch(() => undefined); // the loop sees that it aborted
    }
  }
}

/** No answer, or a passing one: what came since is still to be had. Anything else is answered by the list. */
function resumable(error: unknown): boolean {
  return error instanceof ImpoundError && (error.code === 'api-unreachable' || error.code === 'api-failed');
}

/** An ERROR event's object is a Status. */
function told(event: WatchEvent<unknown>, path: string): ImpoundError {
  const { code, message } = event.object as { readonly code?: unknown; readonly message?: unknown };
  const text = String(message ?? code ?? 'no reason').slice(0, 1000);
  const context = { operation: 'GET', thing: path };
  // whatever the reason, the list is what helps
  return new ImpoundError('api-expired', `the API server ended the watch of ${path}: ${text}`, context);
}
