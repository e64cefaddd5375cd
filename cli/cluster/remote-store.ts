// A capture's bundle as the controller gives it to people: a store that can be listed and read, and nothing else.
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { ImpoundError, isBundlePath, type ReadOptions, type Store, type StoreEntry } from '../../evidence/index.ts';
import { type ControllerClient, unreachable } from './controller-client.ts';

/** Objects at once; a person may read 16. */
const CONCURRENCY = 6;
/** Of one line of the list: a path and a size. */
const MAX_LINE = 4096;
/** Tries without a byte of progress. */
const TRIES = 3;
const PAUSE_MILLISECONDS = 500;

export interface RemoteStoreOptions {
  readonly client: ControllerClient;
  /** Of the capture. */
  readonly name: string;
  /** Of the bundle in its own store, for people. */
  readonly url: string;
}

/** Reads go on where a connection broke. What an object must be, the chain says: whoever reads has to check it. */
export function remoteStore({ client, name, url }: RemoteStoreOptions): Store {
  const base = `/v1/captures/${encodeURIComponent(name)}/objects`;
  return {
    url,
    concurrency: CONCURRENCY,
    list: (prefix = '') => list(client, `${base}${prefix === '' ? '' : `?prefix=${encodeURIComponent(prefix)}`}`),
    read: (path, options) => read(client, `${base}/${checked(path)}`, options),
    async size(path) {
      try {
        const answer = await client.ask({ path: `${base}/${checked(path)}` });
        answer.destroy();
        return Number(answer.headers['content-length']);
      } catch (error) {
        if (error instanceof ImpoundError && error.code === 'object-missing') return undefined;
        throw error;
      }
    },
    async *unfinished() {},
    put: refused,
    create: refused,
    prepare: refused,
    finish: async () => undefined,
    uploads: denied,
    below: denied,
  };
}

async function* list(client: ControllerClient, path: string): AsyncIterable<StoreEntry> {
  const answer = await client.ask({ path });
  let rest = '';
  try {
    for await (const chunk of answer.setEncoding('utf8') as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > MAX_LINE) throw malformed(path);
      for (const line of lines) yield entryOf(line, path);
    }
  } catch (cause) {
    throw unreachable('its list of objects', cause);
  }
  if (rest !== '') throw malformed(path);
}

function entryOf(line: string, path: string): StoreEntry {
  let read: unknown;
  try {
    read = JSON.parse(line);
  } catch {
    throw malformed(path);
  }
  const { path: own, size } = (read ?? {}) as { readonly path?: unknown; readonly size?: unknown };
  if (typeof own !== 'string' || !isBundlePath(own) || !Number.isSafeInteger(size) || Number(size) < 0)
    throw malformed(path);
  return { path: own, kind: 'file', size: Number(size) };
}

async function* read(
  client: ControllerClient,
  path: string,
  { start = 0, end }: ReadOptions = {},
): AsyncIterable<Uint8Array> {
  let position = start;
  for (let tries = 1; ; tries++) {
    const before = position;
    let answer: IncomingMessage | undefined;
    try {
      const ranged = position > 0 || end !== undefined;
      const range = `bytes=${position}-${end === undefined ? '' : end - 1}`;
      answer = await client.ask({ path, ...(ranged ? { headers: { range } } : {}) });
      if (ranged && answer.statusCode !== 206) throw malformed(path);
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        position += chunk.length;
        yield chunk;
      }
      return;
    } catch (cause) {
      const error = unreachable('an object', cause);
      if (error.code !== 'controller-unreachable' && error.code !== 'api-unreachable') throw error;
      if (position > before) tries = 0;
      else if (tries >= TRIES) throw error;
      await sleep(PAUSE_MILLISECONDS);
    } finally {
      // whoever stops reading early lets the connection go
      if (answer !== undefined && !answer.complete) answer.destroy();
    }
  }
}

function checked(path: string): string {
  if (isBundlePath(path)) return path;
  throw new ImpoundError('path-invalid', `${JSON.stringify(path)} is not the path of an object of a bundle`, {
    operation: 'read',
    thing: path,
  });
}

async function refused(): Promise<never> {
  return denied();
}

function denied(): never {
  throw new ImpoundError('store-denied', 'through the controller a bundle can only be read', { operation: 'write' });
}

function malformed(path: string): ImpoundError {
  return new ImpoundError('controller-refused', 'the controller answers with something else than was asked for', {
    operation: 'read',
    thing: path,
  });
}
