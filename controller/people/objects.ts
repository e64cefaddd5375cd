// A bundle's objects for a person: listed, read by ranges, or by a URL of the store's own.
import { ImpoundError, isBundlePath, jsonLine, type Logger, layoutOf, type Store } from '../../evidence/index.ts';
import type { PersonIdentity } from '../http/identity.ts';
import { Problem } from '../http/problem.ts';
import type { Call, Reply } from '../http/route.ts';
import type { BundleView, BundleViews, ObjectRecord } from './bundle-view.ts';
import { rangeOf } from './range.ts';

/** What a chain said so long ago is asked again before somebody is refused by it. */
const STALE_MILLISECONDS = 2000;
const PRESIGNED_SECONDS = 60;
/** Objects that are being read: each holds a connection to the store. */
const MAX_READS = 64;
const MAX_READS_OF_PERSON = 16;

/** These say what a bundle is, not what was on the node. Everything else needs an entry, also what has no place here. */
const OPEN: ReadonlySet<string> = new Set(['tag', 'entry', 'timestamp', 'key']);
const BROKEN = new Set(['chain-broken', 'entry-invalid', 'entry-too-large', 'not-a-bundle']);

export interface Reading {
  readonly store: Store;
  readonly person: PersonIdentity;
  /** The capture's name. */
  readonly capture: string;
  /** A bundle path. */
  readonly path: string;
  readonly call: Call;
}

export type ObjectReader = (reading: Reading) => Promise<Reply>;

/** One JSON object a line, {path, size}; `?prefix=data/10-process` for what is below it. */
export async function listObjects(store: Store, { url }: Call): Promise<Reply> {
  const prefix = url.searchParams.get('prefix') ?? '';
  if (prefix !== '' && !isBundlePath(prefix))
    throw new Problem(400, 'request-invalid', 'the prefix is not a folder of a bundle');
  return { headers: { 'content-type': 'application/jsonl' }, stream: lines(store, prefix) };
}

async function* lines(store: Store, prefix: string): AsyncIterable<Uint8Array> {
  for await (const { path, kind, size } of store.list(prefix))
    if (kind === 'file' && isBundlePath(path)) yield jsonLine({ path, size });
}

export function objectReader({ views, log }: { readonly views: BundleViews; readonly log: Logger }): ObjectReader {
  const reads = new Map<string, number>();
  let running = 0;
  /** Counted while it is read, not while it waits to be. */
  async function* counted(person: string, bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    running++;
    reads.set(person, (reads.get(person) ?? 0) + 1);
    try {
      yield* bytes;
    } finally {
      running--;
      const left = (reads.get(person) ?? 1) - 1;
      if (left === 0) reads.delete(person);
      else reads.set(person, left);
    }
  }
  return async ({ store, person, capture, path, call }) => {
    const record = OPEN.has(layoutOf(path)?.kind ?? '') ? undefined : await assertRecorded(views, store, person, path);
    const told = { person: person.username, capture, path };
    if (call.url.searchParams.get('presign') === '1') {
      const reply = await presigned(store, path, record);
      log.info('a URL for an object was given', told);
      return reply;
    }
    if (running >= MAX_READS || (reads.get(person.username) ?? 0) >= MAX_READS_OF_PERSON)
      throw new Problem(429, 'too-many', 'too many objects are being read at once: ask again', { retryAfter: 1 });
    const size = record?.size ?? (await store.size(path));
    if (size === undefined) throw new Problem(404, 'not-found', `the bundle has no ${path}`);
    const { status, headers, range } = conditional(call, size, record);
    if (range === undefined) return { status, headers };
    log.info('an object is read', { ...told, ...range });
    const bytes = store.read(path, { ...range, versionId: record?.versionId });
    return { status, headers, stream: counted(person.username, bytes) };
  };
}

/** What the chain says of the object, where it names it. Throws a Problem where this person has recorded no access. */
async function assertRecorded(
  views: BundleViews,
  store: Store,
  { username }: PersonIdentity,
  path: string,
): Promise<ObjectRecord | undefined> {
  const view = async (milliseconds: number): Promise<BundleView> => {
    try {
      return await views.view(store, milliseconds);
    } catch (error) {
      if (error instanceof ImpoundError && BROKEN.has(error.code))
        throw new Problem(409, 'conflict', `the custody chain cannot be read: ${error.message}`);
      throw error;
    }
  };
  const known = await view(Number.POSITIVE_INFINITY);
  const current = known.covers(username, path) && known.objects.has(path) ? known : await view(STALE_MILLISECONDS);
  if (current.covers(username, path)) return current.objects.get(path);
  const detail = 'reading evidence is recorded: POST the purpose to …/access first, then read';
  throw new Problem(403, 'access-unrecorded', detail);
}

async function presigned(store: Store, path: string, record: ObjectRecord | undefined): Promise<Reply> {
  if (store.presignRead === undefined)
    throw new Problem(400, 'request-invalid', 'this store gives no URLs: read without presign=1');
  const size = record?.size ?? (await store.size(path));
  if (size === undefined) throw new Problem(404, 'not-found', `the bundle has no ${path}`);
  const url = await store.presignRead(path, PRESIGNED_SECONDS);
  return {
    json: { url, seconds: PRESIGNED_SECONDS, size, ...(record === undefined ? {} : { sha256: record.sha256 }) },
  };
}

interface Conditional {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined: no bytes are sent. */
  readonly range: { readonly start: number; readonly end: number } | undefined;
}

/** RFC 9110: If-None-Match, If-Range, Range. An object never changes, and its digest is its entity tag. */
function conditional({ request }: Call, size: number, record: ObjectRecord | undefined): Conditional {
  const etag = record === undefined ? undefined : `"${record.sha256}"`;
  const tag = etag === undefined ? {} : { etag };
  const wanted = request.headers['if-none-match']?.split(',').map((one) => one.trim().replace(/^W\//, ''));
  if (etag !== undefined && wanted?.some((one) => one === etag || one === '*'))
    return { status: 304, headers: tag, range: undefined };
  const range = rangeOf(
    { range: request.headers.range, 'if-range': String(request.headers['if-range'] ?? '') },
    size,
    etag,
  );
  if (range === 'unsatisfiable') throw new Problem(416, 'range-invalid', `the object has ${size} bytes`, { size });
  const { start, end } = range ?? { start: 0, end: size };
  return {
    status: range === undefined ? 200 : 206,
    headers: {
      ...tag,
      ...(record === undefined
        ? {}
        : { 'repr-digest': `sha-256=:${Buffer.from(record.sha256, 'hex').toString('base64')}:` }),
      ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
      'accept-ranges': 'bytes',
      'content-length': String(end - start),
      // what a suspect node made must not become a page of this server
      'content-type': 'application/octet-stream',
      'content-disposition': 'attachment',
      'content-security-policy': "default-src 'none'; sandbox",
    },
    range: { start, end },
  };
}
