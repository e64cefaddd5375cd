// Grants uploads into a directory, and takes them: the URLs lead back to whoever granted, by the protocol of S3's.
import { opendir } from 'node:fs/promises';
import { ImpoundError } from '../../errors.ts';
import { systemClock } from '../../ports.ts';
import type { DirectoryWriter } from '../directory-writer.ts';
import { ignoreAbsence } from '../folders.ts';
import { storeError } from '../store-error.ts';
import type { Grant, UploadGrants } from '../upload/grants.ts';
import { grantLimits, MAX_SECONDS, refused } from '../upload/limits.ts';
import type { Names } from '../upload/sender.ts';
import type { Received, Receiver, Uploads, UploadsOptions } from '../uploads.ts';
import { completeUpload, seenJoined, seenObject } from './complete.ts';
import { Held, type HeldPlace } from './held.ts';
import { MAX_PATH } from './names.ts';
import { partWriter, stageUpload, uploadFolder } from './parts.ts';
import { answerTo, BodyRefusal, STORED, takeBody } from './receive.ts';
import { type GrantedPiece, openToken, sealToken } from './token.ts';

/** Bodies that are taken at once; a sender has 16 connections. */
const BODIES = 32;
/** Of one bundle, that did not end: what was given up is one of them until the bundle is sealed. */
const MAX_UPLOADS = 1000;

/** What a directory store lends. */
export interface UploadPlace extends HeldPlace {
  /** Folder of half-written objects. */
  readonly partial: string;
  /** Makes that folder. */
  ensure(): Promise<void>;
  writer(path: string): Promise<DirectoryWriter>;
}

export function directoryUploads(place: UploadPlace, options: UploadsOptions): Uploads {
  const { receiver } = options;
  if (receiver === undefined) throw new Error('a directory is no server: uploads into it need a receiver');
  const held = new Held(place);
  return { grants: grantsOf(place, options, receiver, held), receive: receiverOf(place, receiver, held) };
}

function grantsOf(place: UploadPlace, options: UploadsOptions, receiver: Receiver, held: Held): UploadGrants {
  const limits = grantLimits(options);
  const assertNameable = (path: string): void => {
    if (path.length > MAX_PATH) throw refused(path, `its path has ${path.length} characters, ${MAX_PATH} fit`);
  };
  const life = 1000 * Math.max(1, Math.min(options.seconds ?? MAX_SECONDS, MAX_SECONDS));
  const { clock = systemClock } = receiver;
  const granted = (piece: GrantedPiece): Grant => {
    const expires = clock.now().getTime() + life;
    const url = new URL(receiver.url);
    url.searchParams.set('grant', sealToken(piece, expires, receiver));
    const headers = { 'content-length': String(piece.size) };
    return { url: url.href, headers, expires: new Date(expires).toISOString() };
  };
  const folderOf = (path: string, upload: string): string => uploadFolder(place.partial, path, upload);
  /** One at a time of each upload: it may be asked again while a large object is still put together. */
  const completing = new Map<string, Promise<Names>>();
  return {
    async grantObject({ path, size, sha256 }) {
      limits.assertPiece({ path, size, sha256 });
      assertNameable(path);
      return granted({ path, size, sha256 });
    },
    async beginUpload(path) {
      limits.assertPath(path);
      assertNameable(path);
      await place.ensure();
      if ((await uploadsIn(place.partial)) >= MAX_UPLOADS) throw refused(path, `${MAX_UPLOADS} uploads did not end`);
      return stageUpload(place.partial, path);
    },
    async grantPart({ path, size, sha256, upload, number }) {
      limits.assertPiece({ path, size, sha256 });
      limits.assertNumber(path, number);
      return granted({ path, size, sha256, part: { upload, number } });
    },
    async completeUpload(path, upload, parts) {
      limits.assertParts(path, parts);
      const folder = folderOf(path, upload);
      const before = completing.get(folder);
      const work = async (): Promise<Names> => {
        await before?.catch(() => undefined); // who asked for it is told
        return completeUpload({ path, upload, folder, parts, held, writer: place.writer });
      };
      const mine = work();
      completing.set(folder, mine);
      try {
        return await mine;
      } finally {
        if (completing.get(folder) === mine) completing.delete(folder);
      }
    },
    async finished(claim) {
      limits.assertPiece(claim);
      return seenObject(held, claim.path, claim);
    },
    async finishedUpload(path, parts) {
      limits.assertParts(path, parts);
      return seenJoined(held, path, parts);
    },
    async finishedPart({ path, upload, ...part }) {
      limits.assertPath(path);
      limits.assertNumber(path, part.number);
      return (await held.part(folderOf(path, upload), path, upload, part)) === true;
    },
  };
}

function receiverOf(place: UploadPlace, receiver: Receiver, held: Held): NonNullable<Uploads['receive']> {
  const { clock = systemClock } = receiver;
  let taking = 0;
  const pieceOf = (token: string, length: number | undefined): GrantedPiece => {
    const opened = openToken(token, clock.now().getTime(), receiver);
    if (opened.kind === 'forged') throw new BodyRefusal(403, 'AccessDenied', 'this was not granted');
    if (opened.kind === 'expired') throw new BodyRefusal(403, 'RequestExpired', 'the grant has expired');
    if (length === undefined) throw new BodyRefusal(411, 'MissingContentLength', 'a length is needed');
    if (length === opened.piece.size) return opened.piece;
    throw new BodyRefusal(400, 'InvalidRequest', `${opened.piece.size} bytes were granted, not ${length}`);
  };
  const take = async (piece: GrantedPiece, body: AsyncIterable<Uint8Array>): Promise<void> => {
    const { path, part } = piece;
    if (part !== undefined) return takePart(place, held, { ...piece, ...part }, body);
    if ((await place.store.size(path)) !== undefined) throw taken(path);
    held.rememberObject(path, await takeBody(await place.writer(path), body, piece));
  };
  return async (token, body, length): Promise<Received> => {
    try {
      const piece = pieceOf(token, length);
      if (taking >= BODIES) throw new BodyRefusal(503, 'SlowDown', `${BODIES} bodies are taken at once`);
      taking++;
      try {
        await take(piece, body);
      } finally {
        taking--;
      }
      return STORED;
    } catch (error) {
      return answerTo(error);
    }
  };
}

/** The first that came stands: whoever takes a node over can put nothing in the place of what was sent before. */
async function takePart(
  place: UploadPlace,
  held: Held,
  part: GrantedPiece & { readonly upload: string; readonly number: number },
  body: AsyncIterable<Uint8Array>,
): Promise<void> {
  const { path, upload, number } = part;
  const folder = uploadFolder(place.partial, path, upload);
  if ((await held.part(folder, path, upload, part)) === false) throw taken(path);
  try {
    held.rememberPart(upload, number, await takeBody(await partWriter(folder, path, number), body, part));
  } catch (error) {
    const isThere = error instanceof ImpoundError && error.code === 'object-exists';
    if (!isThere || (await held.part(folder, path, upload, part)) !== true) throw error;
  }
}

async function uploadsIn(partial: string): Promise<number> {
  try {
    let count = 0;
    const folder = await opendir(partial).catch(ignoreAbsence);
    for await (const item of folder ?? []) if (item.isDirectory()) count++;
    return count;
  } catch (error) {
    throw storeError(error, 'begin upload', partial);
  }
}

function taken(path: string): ImpoundError {
  const message = `${path} is in the store already; nothing stored is ever changed`;
  return new ImpoundError('object-exists', message, { operation: 'receive', thing: path });
}
