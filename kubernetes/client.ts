// Asks the API server: JSON in and out, each request with a time-out of its own, since a server that hangs says nothing.
import type { Access } from './access.ts';
import { failure } from './refusal.ts';
import { openTransport, type Sent } from './transport.ts';

const PAGE = 500;

/** https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches */
const metadataOf = (kind: string): { readonly accept: string } => ({
  accept: `application/json;as=${kind};g=meta.k8s.io;v=v1`,
});

const PATCHES = {
  merge: 'application/merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

export interface Ask {
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  readonly signal?: AbortSignal;
  /** Until the whole answer is there, 10 s where absent; of a list for each page; of a watch see there. */
  readonly milliseconds?: number;
  /** Of a list or a watch: its objects have nothing but their metadata. */
  readonly metadataOnly?: boolean;
}

/** What every object has. */
export interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly {
    readonly apiVersion: string;
    readonly kind: string;
    readonly name: string;
    readonly uid: string;
    readonly controller?: boolean;
  }[];
}

export interface KubernetesObject {
  readonly metadata: Metadata;
}

export interface List<T> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly T[];
}

export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T;
}

/**
 * Paths begin with /api or /apis, each name in them by encodeURIComponent. All throw ImpoundError: api-denied (401, 403), api-missing (404), api-conflict (409),
 * api-expired (410), api-invalid (400, 413, 415, 422), api-failed (any other answer), api-unreachable (no answer), aborted.
 */
export interface Kubernetes {
  readonly server: string;
  get<T>(path: string, ask?: Ask): Promise<T>;
  create<T>(path: string, body: object, ask?: Ask): Promise<T>;
  replace<T>(path: string, body: object, ask?: Ask): Promise<T>;
  /** A `metadata.resourceVersion` in the patch makes it conditional. */
  patch<T>(path: string, kind: keyof typeof PATCHES, body: object, ask?: Ask): Promise<T>;
  remove(path: string, ask?: Ask): Promise<void>;
  /** All pages; `api-expired` where it took so long that the server has forgotten where it was. */
  list<T>(path: string, ask?: Ask): Promise<List<T>>;
  /** Events until the server ends them; throws where nothing came for `milliseconds`, and when `signal` aborts. `opened`: the server has taken it. */
  watch<T>(path: string, ask?: Ask, opened?: () => void): AsyncIterable<WatchEvent<T>>;
  /** Ends all connections: what is under way fails. */
  close(): void;
}

export function kubernetes(access: Access): Kubernetes {
  const { request, lines, close } = openTransport(access);

  const json = async <T>(sent: Sent): Promise<T> => {
    try {
      return JSON.parse(await request(sent)) as T;
    } catch (error) {
      throw failure(sent, error, sent.signal?.aborted === true);
    }
  };

  return {
    server: access.server.href,
    get: (path, ask) => json({ ...ask, method: 'GET', path }),
    create: (path, body, ask) => json({ ...ask, method: 'POST', path, body }),
    replace: (path, body, ask) => json({ ...ask, method: 'PUT', path, body }),
    patch: (path, kind, body, ask) => json({ ...ask, method: 'PATCH', path, body, contentType: PATCHES[kind] }),
    remove: async (path, ask) => void (await json({ ...ask, method: 'DELETE', path })),
    async list<T>(path: string, ask: Ask = {}): Promise<List<T>> {
      const items: T[] = [];
      let next = '';
      for (;;) {
        const query = { limit: PAGE, ...ask.query, ...(next === '' ? {} : { continue: next }) };
        const accept = ask.metadataOnly ? metadataOf('PartialObjectMetadataList') : {};
        const page = await json<List<T>>({ ...ask, ...accept, method: 'GET', path, query });
        // no spread into push: a server may answer with more than `limit`
        for (const item of page.items ?? []) items.push(item); // null in an empty list of metadata only
        next = page.metadata.continue ?? '';
        if (next === '') return { ...page, items };
      }
    },
    async *watch<T>(path: string, ask: Ask = {}, opened?: () => void): AsyncIterable<WatchEvent<T>> {
      const accept = ask.metadataOnly ? metadataOf('PartialObjectMetadata') : {};
      const sent: Sent = { ...ask, ...accept, method: 'GET', path, query: { ...ask.query, watch: true } };
      try {
        for await (const line of lines(sent, opened)) yield JSON.parse(line) as WatchEvent<T>;
      } catch (error) {
        throw failure(sent, error, sent.signal?.aborted === true);
      }
    },
    close,
  };
}
