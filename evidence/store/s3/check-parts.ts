// An upload in parts: each part's SHA-256 enforced and kept, found again while it is unfinished, completed once.

import { type Check, type CheckFinding, failed, ok } from '../check.ts';
import type { UploadedPart } from './bucket.ts';
import { digestFinding, refusedAsWrong } from './check-objects.ts';
import type { Probe } from './check-probe.ts';
import { ANOTHER_STORE } from './check-remedy.ts';
import { compositeOf, formsOf, hexOf } from './checksum.ts';
import { causeOf, isTaken } from './error.ts';
import { contiguousParts, uploads } from './listing.ts';

export const partChecks: readonly Check<Probe>[] = [
  { name: 'upload in parts', tried: 'UploadPart', needed: true, after: ['write'], run: begin },
  {
    name: 'wrong part',
    tried: 'UploadPart with the SHA-256 of other bytes',
    needed: true,
    after: ['upload in parts'],
    run: sendWrong,
  },
  { name: 'list parts', tried: 'ListParts', needed: true, after: ['upload in parts'], run: listParts },
  {
    name: 'list uploads',
    tried: 'ListMultipartUploads',
    needed: true,
    after: ['upload in parts'],
    run: async ({ plain, folder, found }) => {
      const unfinished = await Array.fromAsync(uploads(plain, folder));
      if (unfinished.some(({ upload }) => upload === found.upload?.id)) return ok('the unfinished one is listed');
      return failed('the unfinished one is not listed: "seal" could not finish it after a crash', ANOTHER_STORE);
    },
  },
  {
    name: 'finish an upload',
    tried: 'CompleteMultipartUpload with If-None-Match on a free key',
    needed: true,
    after: ['upload in parts'],
    run: complete,
  },
  {
    name: 'finish only once',
    tried: 'CompleteMultipartUpload with If-None-Match on the same key',
    needed: true,
    after: ['finish an upload'],
    run: completeAgain,
  },
];

async function begin(probe: Probe): Promise<CheckFinding> {
  const { found } = probe;
  const id = await probe.with(found.object?.protection ?? {}).createUpload(probe.keys.parts);
  found.uploads++;
  found.upload = { id, etag: await sendPart(probe, id) };
  return ok('the store took the part');
}

function sendPart({ plain, keys, body }: Probe, id: string): Promise<string> {
  return plain.uploadPart(keys.parts, id, 1, body);
}

/** As part 2, which is in no list of parts that is completed. */
async function sendWrong({ checksumOnly, keys, body, other, found }: Probe): Promise<CheckFinding> {
  const wrong = { bytes: other.bytes, checksum: body.checksum };
  try {
    await checksumOnly.uploadPart(keys.parts, found.upload?.id ?? '', 2, wrong);
  } catch (error) {
    return refusedAsWrong(error);
  }
  return failed('it was taken: bytes that change on their way would pass for evidence', ANOTHER_STORE);
}

async function listParts(probe: Probe): Promise<CheckFinding> {
  const { plain, keys, found, body } = probe;
  const [part] = await contiguousParts(plain, keys.parts, found.upload?.id ?? '');
  return digestFinding(part?.sha256, [hexOf(body.checksum)]);
}

async function complete(probe: Probe): Promise<CheckFinding> {
  const { plain, keys, found } = probe;
  const { id = '', etag = '' } = found.upload ?? {};
  const parts = partsOf(probe, etag);
  await plain.completeUpload(keys.parts, id, parts, () => undefined);
  found.objects++;
  found.uploads--;
  const head = await plain.head(keys.parts);
  return digestFinding(head?.checksum, formsOf(compositeOf(parts)));
}

/** The upload that is refused stays: to abort it takes a permission that nobody here has. */
async function completeAgain(probe: Probe): Promise<CheckFinding> {
  const { plain, keys, found } = probe;
  const id = await plain.createUpload(keys.parts);
  found.uploads++;
  const parts = partsOf(probe, await sendPart(probe, id));
  try {
    await plain.completeUpload(keys.parts, id, parts, () => undefined);
  } catch (error) {
    if (isTaken(causeOf(error))) return ok('the second was refused (412)');
    throw error;
  }
  found.objects++;
  found.uploads--;
  return failed('a second upload to the same name was taken: evidence could be overwritten', ANOTHER_STORE);
}

function partsOf({ body }: Probe, etag: string): readonly UploadedPart[] {
  return [{ number: 1, etag, size: body.bytes.length, sha256: hexOf(body.checksum) }];
}
