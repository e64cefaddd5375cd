// A whole object: written once, refused when its SHA-256 is wrong, kept with its digest and version, read back.
import { type Check, type CheckFinding, failed, ok, skipped, warning } from '../check.ts';
import { briefly, objectKey, type Probe } from './check-probe.ts';
import { ANOTHER_STORE, explain, messageOf } from './check-remedy.ts';
import { causeOf, isTaken, statusOf } from './error.ts';
import { versions } from './listing.ts';
import type { Protection } from './protection.ts';

export const objectChecks: readonly Check<Probe>[] = [
  {
    name: 'write',
    tried: 'PutObject with its SHA-256 and If-None-Match on a free key',
    needed: true,
    after: ['bucket'],
    run: write,
  },
  {
    name: 'write only once',
    tried: 'PutObject with If-None-Match of other bytes on the same key',
    needed: true,
    after: ['write'],
    run: writeAgain,
  },
  {
    name: 'wrong bytes',
    tried: 'PutObject with the SHA-256 of other bytes',
    needed: true,
    after: ['write'],
    run: writeWrong,
  },
  {
    name: 'versions',
    tried: 'whether PutObject names a version',
    needed: false,
    after: ['write'],
    run: async ({ found }) =>
      found.object?.versionId === undefined
        ? warning(
            'off: whoever may write can put other bytes in the place of evidence',
            'turn versioning on (Object Lock does): the chain then names the version that is evidence',
          )
        : ok('on: the probe has one of its own'),
  },
  { name: 'read', tried: 'GetObject', needed: true, after: ['write'], run: (probe) => readBack(probe, undefined) },
  {
    name: 'read a version',
    tried: 'GetObject with versionId',
    needed: true,
    after: ['write', 'versions'],
    run: async (probe) => {
      const { versionId } = probe.found.object ?? {};
      if (versionId === undefined) return skipped('the bucket keeps no versions');
      return readBack(probe, versionId).catch((error: unknown) => explain(error, probe, 'GetObjectVersion'));
    },
  },
  { name: 'kept SHA-256', tried: 'HeadObject', needed: true, after: ['read'], run: seeDigest },
  { name: 'list versions', tried: 'ListObjectVersions', needed: true, after: ['write'], run: listVersions },
];

/** Locked for minutes where locks were asked for; a bucket that takes no such lock must still take the object. */
async function write(probe: Probe): Promise<CheckFinding> {
  const { found, asked, keys } = probe;
  const brief = briefly(probe);
  try {
    await put(probe, keys.object, brief);
  } catch (error) {
    if (brief.retention === undefined) throw error;
    found.briefRefused = error;
    // under another name: some servers keep the object whose lock they refused
    await put(probe, keys.unlocked, asked.kmsKey === undefined ? {} : { kmsKey: asked.kmsKey });
  }
  return ok('the store took it');
}

async function put(probe: Probe, key: string, protection: Protection): Promise<void> {
  const { found, body } = probe;
  const { versionId } = await probe.with(protection).put(key, body, () => undefined);
  found.object = { key, versionId, protection };
  found.objects++;
}

async function writeAgain({ plain, other, found }: Probe): Promise<CheckFinding> {
  try {
    await plain.put(objectKey(found), other, () => undefined);
  } catch (error) {
    if (isTaken(causeOf(error))) return ok('the second was refused (412)');
    throw error;
  }
  found.objects++;
  return failed('a second write to the same name was taken: evidence could be overwritten', ANOTHER_STORE);
}

async function writeWrong({ checksumOnly, keys, body, other, found }: Probe): Promise<CheckFinding> {
  try {
    await checksumOnly.put(keys.wrong, { bytes: other.bytes, checksum: body.checksum }, () => undefined);
  } catch (error) {
    return refusedAsWrong(error);
  }
  found.objects++;
  return failed('they were taken: bytes that change on their way would pass for evidence', ANOTHER_STORE);
}

/** Throws what is no refusal of the bytes. */
export function refusedAsWrong(error: unknown): CheckFinding {
  if (statusOf(causeOf(error)) !== 400) throw error;
  const cause = causeOf(error);
  return ok(`refused (${cause instanceof Error ? cause.name : messageOf(cause)})`);
}

async function readBack({ plain, found, body }: Probe, versionId: string | undefined): Promise<CheckFinding> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await plain.get(objectKey(found), { start: 0, end: body.bytes.length + 1 }, versionId))
    chunks.push(chunk);
  if (Buffer.concat(chunks).equals(body.bytes)) return ok('the bytes are those that were written');
  return failed('other bytes came back than were written', ANOTHER_STORE);
}

async function seeDigest({ plain, body, found }: Probe): Promise<CheckFinding> {
  const head = await plain.head(objectKey(found));
  return digestFinding(head?.checksum, [body.checksum]);
}

/** `wanted`: the digest, in the ways in which servers write it. */
export function digestFinding(checksum: string | undefined, wanted: readonly string[]): CheckFinding {
  if (checksum === undefined) return failed('the store shows none: nothing would prove what it holds', ANOTHER_STORE);
  if (!wanted.includes(checksum)) return failed(`the store shows ${checksum}, not ${wanted[0]}`, ANOTHER_STORE);
  return ok('the store shows what was sent');
}

async function listVersions({ plain, folder, found }: Probe): Promise<CheckFinding> {
  const listed = await Array.fromAsync(versions(plain, folder));
  const versionId = found.object?.versionId;
  if (listed.some((one) => one.key === objectKey(found) && one.versionId === versionId))
    return ok('the probe is listed');
  return failed('the probe is not listed', ANOTHER_STORE);
}
