// Sends an object by granted URLs: each try has a URL of its own, since they live short, and an answer that was lost is
// asked for before anything is sent again.
import { type ErrorCode, errnoOf, ImpoundError } from '../../errors.ts';
import { unlessAborted } from '../../stream/within.ts';
import { isBroken, isNamed, isRetryable, isTaken, statusOf } from '../s3/error.ts';
import { type Patience, retrying } from '../s3/retry.ts';
import type { Grant, UploadGrants } from './grants.ts';
import type { Connections } from './send.ts';
import type { Names, Sender } from './sender.ts';

export interface GrantedSenderOptions {
  readonly grants: UploadGrants;
  /** Bundle path. */
  readonly path: string;
  readonly connections: Connections;
  readonly patience: Patience;
  readonly signal: AbortSignal | undefined;
}

export function grantedSender(options: GrantedSenderOptions): Sender {
  const { grants, path, connections, patience, signal } = options;
  const ending = <T>(work: Promise<T>): Promise<T> => untilAborted(work, path, signal);
  const deliver = <T>(delivery: Omit<Delivery<T>, 'path' | 'connections'>): Promise<T> =>
    ending(delivered({ ...delivery, path, connections }, patience, signal));
  return {
    put({ bytes, sha256 }) {
      const claim = { path, size: bytes.length, sha256 };
      return deliver<Names>({
        bytes,
        grant: () => grants.grantObject(claim),
        seen: () => grants.finished(claim),
        async stored(versionId) {
          const names = await grants.finished(claim, versionId);
          if (names === undefined) throw failed('store-failed', `${path} is not there after it was stored`, path);
          return names;
        },
      });
    },
    begin: () => ending(grants.beginUpload(path)),
    async putPart(upload, number, { bytes, sha256 }) {
      const claim = { path, upload, number, size: bytes.length, sha256 };
      await deliver<true>({
        bytes,
        grant: () => grants.grantPart(claim),
        seen: async () => ((await grants.finishedPart(claim)) ? true : undefined),
        stored: async () => true, // `complete` sees them all
      });
    },
    complete: (upload, parts) => ending(grants.completeUpload(path, upload, parts)),
  };
}

interface Delivery<T> {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly connections: Connections;
  grant(): Promise<Grant>;
  /** What the store holds of it, or undefined; throws why it never will. */
  seen(): Promise<T | undefined>;
  /** After the store took it. */
  stored(versionId: string | undefined): Promise<T>;
}

async function delivered<T>(delivery: Delivery<T>, patience: Patience, signal: AbortSignal | undefined): Promise<T> {
  const { path, bytes, connections, grant, seen, stored } = delivery;
  // one of the tries may have been a success that nobody heard of
  let lost = false;
  let host = '';
  const granted = async (): Promise<Grant> => {
    const given = await grant();
    host = new URL(given.url).host;
    return given;
  };
  const work = async (): Promise<T> => {
    const before = lost ? await seen() : undefined;
    if (before !== undefined) return before;
    let versionId: string | undefined;
    try {
      versionId = await connections.put(granted, bytes);
    } catch (error) {
      const there = lost && !isHopeful(error) ? await seen() : undefined;
      if (there !== undefined) return there;
      // a store that is only busy has taken nothing, and needs no question more
      lost ||= isRetryable(error) && !isNamed(error, 'SlowDown');
      throw error;
    }
    return stored(versionId);
  };
  try {
    return await retrying(work, (error) => signal?.aborted !== true && isHopeful(error), patience, signal);
  } catch (error) {
    throw uploadError(error, path, host);
  }
}

/** What the granting side says is its last word: it has tried again itself. */
function isHopeful(error: unknown): boolean {
  return !(error instanceof ImpoundError) && isRetryable(error);
}

/** Waits no longer than `signal` allows, whatever becomes of the work: its own requests end by themselves. */
async function untilAborted<T>(work: Promise<T>, path: string, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return unlessAborted(work, signal, () => {
    throw failed('aborted', `the upload of ${path} was ended`, path, signal.reason);
  });
}

/** store-unreachable, object-exists, store-denied, store-clock, store-full, store-failed. The URL is a secret and is not named. */
function uploadError(error: unknown, path: string, host: string): ImpoundError {
  if (error instanceof ImpoundError) return error;
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const reason = errnoOf(error) ?? message;
  if (isBroken(error))
    return failed(
      'store-unreachable',
      `no answer from the store at ${host} for ${path}: ${reason}; see that this node reaches it`,
      path,
      error,
    );
  if (isTaken(error))
    return failed('object-exists', `${path} is in the store already; nothing stored is ever changed`, path, error);
  if (isNamed(error, 'RequestTimeTooSkewed', 'ExpiredToken', 'RequestExpired') || /expired/i.test(message))
    return failed(
      'store-clock',
      `the store at ${host} says that the URL for ${path} has expired (${message}): see the clock of who grants it`,
      path,
      error,
    );
  if (statusOf(error) === 507)
    return failed('store-full', `the store at ${host} is full: make room in it`, path, error);
  if (statusOf(error) === 403)
    return failed(
      'store-denied',
      `the store at ${host} refuses the URL granted for ${path} (${name}): see what who granted it may`,
      path,
      error,
    );
  return failed('store-failed', `the store at ${host} failed on ${path}: ${name}, ${reason}`, path, error);
}

function failed(code: ErrorCode, message: string, thing: string, cause?: unknown): ImpoundError {
  return new ImpoundError(code, message, { operation: 'upload', thing, cause });
}
