// Question four: does every tar hold what its inner manifest says, and nothing that could leave a folder?
import { createHash } from 'node:crypto';
import { describeError, ImpoundError } from '../errors.ts';
import { isRecord } from '../format/entry.ts';
import type { ArtefactRecord } from '../format/record.ts';
import { INNER_MANIFEST } from '../stream/archive.ts';
import { digestOf } from '../stream/hash.ts';
import { readTar, type TarMember } from '../stream/tar-reader.ts';
import { zstdDecompress } from '../stream/zstd.ts';
import type { Findings } from './report.ts';

/** Content of one artefact at most: a segment is 16 GiB of source, and a tar adds headers. */
export const MAX_CONTENT_BYTES = 17 * 1024 ** 3;
const MAX_LINE_BYTES = 256 * 1024;
const KINDS: Readonly<Record<string, string>> = {
  '0': 'file',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
};

export function isArchive(path: string): boolean {
  return path.endsWith('.tar') || path.endsWith('.tar.zst');
}

/** Reads the archive once, in memory of its own whatever it holds; nothing is extracted. */
export async function checkArchive(
  stored: AsyncIterable<Uint8Array>,
  record: ArtefactRecord,
  report: Findings,
): Promise<void> {
  const { path, truncated } = record;
  const limit = Math.min(record.contentSize ?? MAX_CONTENT_BYTES, MAX_CONTENT_BYTES);
  try {
    await compare(path.endsWith('.zst') ? zstdDecompress(stored, limit, path) : stored, path);
  } catch (error) {
    if (!(error instanceof ImpoundError)) throw error;
    if (truncated === undefined) report.add('archive-altered', path, describeError(error));
    else
      report.warn('archive-truncated', path, `it ends early (${truncated}), so its members were checked only as far`);
  }
}

async function compare(content: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  const members = new Tally();
  const listed = new Tally();
  let closed = false;
  for await (const member of readTar(content, path)) {
    if (closed) throw altered(path, `a member follows ${INNER_MANIFEST}`);
    closed = member.path === INNER_MANIFEST;
    if (closed) await tallyManifest(member, listed, path);
    else members.add(await memberIdentity(member, path));
  }
  if (!closed) throw altered(path, `it has no ${INNER_MANIFEST}`);
  if (members.count !== listed.count) {
    throw altered(path, `${INNER_MANIFEST} lists ${listed.count} members, the archive has ${members.count}`);
  }
  if (members.hex() !== listed.hex()) throw altered(path, `its members are not as ${INNER_MANIFEST} lists them`);
}

/** A running digest over what is said of each member, in order: the same memory for any number of them. */
class Tally {
  readonly #digest = createHash('sha256');
  count = 0;

  add(identity: string): void {
    this.#digest.update(identity);
    this.count++;
  }

  hex(): string {
    return this.#digest.digest('hex');
  }
}

/** All that the manifest and the tar say alike, as one line. */
function identity(fields: readonly unknown[]): string {
  return `${JSON.stringify(fields)}\n`;
}

async function memberIdentity(member: TarMember, path: string): Promise<string> {
  const kind = KINDS[member.type];
  const name = member.path.replace(/\/$/, '');
  const unsafe = name.startsWith('/') || name.split('/').some((segment) => segment === '..' || segment === '');
  if (kind === undefined || unsafe)
    throw altered(path, `member ${JSON.stringify(name.slice(0, 200))} could leave its folder`);
  const hash = kind === 'file' ? (await digestOf(member.content)).sha256 : null;
  const link = kind === 'symlink' ? member.linkTarget : null;
  return identity([name, kind, member.mode, member.uid, member.gid, member.size, hash, link]);
}

async function tallyManifest(member: TarMember, listed: Tally, path: string): Promise<void> {
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of member.content) {
    pending = Buffer.concat([pending, chunk]);
    let start = 0;
    for (let end = pending.indexOf(10); end !== -1; end = pending.indexOf(10, start)) {
      listed.add(lineIdentity(pending.subarray(start, end), path));
      start = end + 1;
    }
    pending = pending.subarray(start);
    if (pending.length > MAX_LINE_BYTES)
      throw altered(path, `${INNER_MANIFEST} has a line of more than ${MAX_LINE_BYTES} bytes`);
  }
}

function lineIdentity(line: Buffer, path: string): string {
  let record: unknown;
  try {
    record = JSON.parse(line.toString('utf8'));
  } catch {
    record = undefined;
  }
  if (!isRecord(record)) throw altered(path, `${INNER_MANIFEST} has a line that is not JSON`);
  const { kind, mode, uid, gid, size } = record;
  return identity([
    record.path,
    kind,
    mode,
    uid,
    gid,
    size,
    record.sha256 ?? null,
    kind === 'symlink' ? record.linkTarget : null,
  ]);
}

function altered(path: string, why: string): ImpoundError {
  return new ImpoundError('content-damaged', why, { operation: 'check archive', thing: path });
}
