// Tar archives with PAX headers and an inner manifest: the one place that knows tar-stream.
import { type Header, type Pack, pack as tarPack } from 'tar-stream';
import { sha256 } from '../format/digest.ts';
import { jsonLine, utf8OrUndefined } from '../format/json.ts';
import { coalesce } from './coalesce.ts';
import { type Sha256Stream, sha256Stream } from './hash.ts';
import { exactName, INNER_MANIFEST, linkText, MemberNames } from './member-name.ts';

export { INNER_MANIFEST };

export type MemberKind = 'file' | 'directory' | 'symlink' | 'fifo' | 'character-device' | 'block-device';

/** Content whose size is known before it is read; a source that turns out shorter is padded, a longer one cut. */
export interface MemberStream {
  readonly size: number;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** One member to be archived. Names and link targets are raw bytes as the host has them, relative, "/" between. */
export interface Member {
  readonly name: Uint8Array | string;
  readonly kind?: MemberKind;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Nanoseconds since the epoch. */
  readonly mtime?: bigint;
  readonly atime?: bigint;
  readonly ctime?: bigint;
  readonly linkTarget?: Uint8Array | string;
  readonly device?: { readonly major: number; readonly minor: number };
  /** Extended attributes, xattr(7), by name: "security.capability". Of more than 128 KiB of base64, only the first are kept. */
  readonly xattrs?: ReadonlyMap<string, Uint8Array>;
  readonly content?: Uint8Array | MemberStream;
  /** Why the content is less than its source has, where a limit cut it. */
  readonly truncated?: string;
  /** Told of the member's line in the inner manifest, once its content has been read. */
  readonly recorded?: (record: MemberRecord) => Promise<unknown>;
}

/** A line of the inner manifest. `path` is the name inside the tar; sizes are bytes, times nanoseconds as text. */
export interface MemberRecord {
  readonly path: string;
  /** The host's exact name, base64, where it is not valid UTF-8 or could not be the tar's name as it is. */
  readonly nameBase64?: string | undefined;
  readonly kind: MemberKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs?: string | undefined;
  readonly atimeNs?: string | undefined;
  readonly ctimeNs?: string | undefined;
  readonly size: number;
  readonly sha256?: string | undefined;
  readonly linkTarget?: string | undefined;
  readonly linkTargetBase64?: string | undefined;
  /** Extended attributes by name, base64. */
  readonly xattrs?: Readonly<Record<string, string>> | undefined;
  readonly truncated?: string | undefined;
  /** Bytes of zero that stand in for content that was gone when it was read. */
  readonly padded?: number | undefined;
}

/** Headers and small members leave together. */
const CHUNK_BYTES = 128 * 1024;

type MemberHeader = Partial<Header> & Pick<Header, 'name'>;

const HEADER_BYTES = 512;
const S_IFREG = 0o100000;
const SECOND = 1_000_000_000n;
const IN_FLIGHT_BYTES = 256 * 1024;
/** Names and values of one member's extended attributes, as the inner manifest writes them. */
const XATTR_BYTES = 131_072;
const EMPTY = new Uint8Array(0);
const EPOCH = new Date(0);

/** The archive as a stream of bytes. Memory is bounded by the largest single chunk of a member. */
export async function* tarArchive(members: AsyncIterable<Member> | Iterable<Member>): AsyncGenerator<Uint8Array> {
  const pack = tarPack();
  feed(pack, members).catch((error: unknown) => {
    pack.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  try {
    yield* coalesce(pack as AsyncIterable<Uint8Array>, CHUNK_BYTES);
  } finally {
    pack.destroy();
  }
}

async function feed(pack: Pack, members: AsyncIterable<Member> | Iterable<Member>): Promise<void> {
  const manifest: Buffer[] = [];
  const names = new MemberNames();
  let waiting = 0;
  for await (const member of members) {
    if (pack.destroying) return;
    const path = names.take(member.name);
    let record: MemberRecord;
    if (member.content === undefined || member.content instanceof Uint8Array) {
      const bytes = member.content ?? EMPTY;
      const packed = entry(pack, headerOf(member, path), bytes);
      // small members are packed without waiting for each: the reader's pace is met every 256 KiB
      waiting += bytes.length + HEADER_BYTES;
      if (waiting >= IN_FLIGHT_BYTES) {
        waiting = 0;
        await packed;
      }
      record = recordOf(member, path, { sha256: sha256(bytes), padded: 0, truncated: undefined });
    } else {
      record = recordOf(member, path, await streamContent(pack, headerOf(member, path), member.content));
    }
    manifest.push(jsonLine(record));
    await member.recorded?.(record);
  }
  const bytes = Buffer.concat(manifest);
  await entry(pack, { name: INNER_MANIFEST, mode: 0o600, size: bytes.length, mtime: EPOCH }, bytes);
  pack.finalize();
}

function headerOf(member: Member, path: string): MemberHeader {
  const { kind = 'file', mode = 0o444, uid = 0, gid = 0, mtime, device } = member;
  const header: MemberHeader = {
    name: kind === 'directory' ? `${path}/` : path,
    type: kind,
    // tar-stream takes a mode of 0, which a whiteout has, for none; it writes the lower twelve bits
    mode: (mode & 0o7777) | S_IFREG,
    uid,
    gid,
    size: contentSize(member.content),
    // what the field cannot hold would spoil the header: the exact time is in the PAX records
    mtime: mtime === undefined || !isUstarTime(mtime - (mtime % SECOND)) ? EPOCH : new Date(Number(mtime / 1_000_000n)),
    pax: paxOf(member),
  };
  if (member.linkTarget !== undefined) header.linkname = linkText(member.linkTarget).text;
  if (device !== undefined) Object.assign(header, { devmajor: device.major, devminor: device.minor });
  return header;
}

/** Fields that are undefined are left out when the line is written. */
function recordOf(member: Member, path: string, { sha256: digest, padded, truncated }: Written): MemberRecord {
  const { kind = 'file', mode = 0o444, uid = 0, gid = 0, name, linkTarget } = member;
  const link = linkTarget === undefined ? undefined : linkText(linkTarget);
  return {
    path,
    nameBase64: path === name ? undefined : exactName(name, path),
    kind,
    mode: mode & 0o7777,
    uid,
    gid,
    mtimeNs: member.mtime?.toString(),
    atimeNs: member.atime?.toString(),
    ctimeNs: member.ctime?.toString(),
    size: contentSize(member.content),
    sha256: kind === 'file' ? digest : undefined,
    linkTarget: link?.text,
    linkTargetBase64: link?.base64,
    xattrs: xattrsOf(member.xattrs),
    truncated: member.truncated ?? truncated,
    padded: padded > 0 ? padded : undefined,
  };
}

function xattrsOf(xattrs: Member['xattrs']): MemberRecord['xattrs'] {
  const kept = keptXattrs(xattrs);
  if (kept.length === 0) return undefined;
  return Object.fromEntries(kept.map(([name, value]) => [name, Buffer.from(value).toString('base64')]));
}

/** What a verifier takes in one PAX header and one line of the inner manifest is bounded. */
function keptXattrs(xattrs: Member['xattrs']): readonly (readonly [string, Uint8Array])[] {
  let left = XATTR_BYTES;
  return [...(xattrs ?? [])].filter(([name, value]) => {
    // as the inner manifest writes them: a control character takes six bytes there
    left -= JSON.stringify(name).length * 3 + Math.ceil(value.length / 3) * 4;
    return left >= 0;
  });
}

interface Written {
  readonly sha256: string;
  readonly padded: number;
  readonly truncated: string | undefined;
}

async function streamContent(pack: Pack, header: MemberHeader, content: MemberStream): Promise<Written> {
  const digest = sha256Stream();
  try {
    return await copyContent(pack, header, content, digest);
  } catch (error) {
    digest.abandon();
    throw error;
  }
}

async function copyContent(
  pack: Pack,
  header: MemberHeader,
  content: MemberStream,
  digest: Sha256Stream,
): Promise<Written> {
  const sink = pack.entry(header);
  const done = new Promise<void>((resolve, reject) => {
    sink.on('finish', () => resolve());
    sink.on('error', reject);
    sink.on('close', () => reject(new Error('the archive was abandoned')));
  });
  done.catch(() => undefined); // awaited below; a failure before that must not end the process
  let left = content.size;
  let truncated: string | undefined;
  const write = async (chunk: Uint8Array): Promise<void> => {
    await digest.update(chunk);
    left -= chunk.length;
    if (!sink.write(chunk))
      await Promise.race([new Promise<void>((resolve) => sink.once('drain', () => resolve())), done]);
  };
  try {
    for await (const chunk of content.bytes) {
      const grown = chunk.length > left;
      await write(grown ? chunk.subarray(0, left) : chunk);
      if (grown) {
        truncated = 'source grew while it was read';
        break;
      }
    }
  } catch (error) {
    truncated = `read failed: ${error instanceof Error ? error.message : String(error)}`;
  }
  const padded = left;
  if (padded > 0) truncated ??= 'source shrank while it was read';
  const zeros = Buffer.alloc(Math.min(padded, 65_536));
  while (left > 0) await write(zeros.subarray(0, Math.min(left, zeros.length)));
  sink.end(null);
  await done;
  return { sha256: await digest.hex(), padded, truncated };
}

/** One member whole; resolves when the reader has taken it. A failure reaches the reader through the pack. */
function entry(pack: Pack, header: MemberHeader, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const sink = pack.entry(header, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), () => resolve());
    // of a pack that is given up while the member waits in it: an event that nobody hears would end the process
    sink.on('error', () => resolve());
  });
}

/** What ustar's header has no room for; null where there is nothing. */
function paxOf({ mtime, atime, ctime, uid = 0, gid = 0, xattrs }: Member): Record<string, string> | null {
  const pax: Record<string, string> = {};
  if (mtime !== undefined && !isUstarTime(mtime)) pax.mtime = decimalSeconds(mtime);
  if (atime !== undefined) pax.atime = decimalSeconds(atime);
  if (ctime !== undefined) pax.ctime = decimalSeconds(ctime);
  // tar-stream writes six octal digits, which user namespaces exceed
  if (uid > 0o777777) pax.uid = String(uid);
  if (gid > 0o777777) pax.gid = String(gid);
  // other values stand in the inner manifest only: tar-stream writes text, and a record's name ends at "="
  for (const [name, value] of keptXattrs(xattrs)) {
    const text = /^[!-<>-~]+$/.test(name) && !value.includes(0) ? utf8OrUndefined(value) : undefined;
    if (text !== undefined) pax[`SCHILY.xattr.${name}`] = text;
  }
  return Object.keys(pax).length === 0 ? null : pax;
}

/** tar-stream's own field holds whole seconds from 1970 to 2038. */
function isUstarTime(time: bigint): boolean {
  return time % 1_000_000_000n === 0n && time >= 0n && time < 2n ** 31n * 1_000_000_000n;
}

function contentSize(content: Member['content']): number {
  if (content === undefined) return 0;
  return content instanceof Uint8Array ? content.length : content.size;
}

function decimalSeconds(time: bigint): string {
  const negative = time < 0n;
  const absolute = negative ? -time : time;
  const fraction = (absolute % 1_000_000_000n).toString().padStart(9, '0');
  return `${negative ? '-' : ''}${absolute / 1_000_000_000n}.${fraction}`;
}
