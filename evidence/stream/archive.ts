// Tar archives with PAX headers and an inner manifest: the one place that knows tar-stream.
import { type Header, type Pack, pack as tarPack } from 'tar-stream';
import { sha256 } from '../format/digest.ts';
import { jsonLine, utf8OrUndefined } from '../format/json.ts';
import { type Sha256Stream, sha256Stream } from './hash.ts';

/** Name of the last member of every archive: one JSON line a member, in order. */
export const INNER_MANIFEST = 'MANIFEST.jsonl';

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
  readonly content?: Uint8Array | MemberStream;
  /** Why the content is less than its source has, where a limit cut it. */
  readonly truncated?: string;
  /** Told of the member's line in the inner manifest, once its content has been read. */
  readonly recorded?: (record: MemberRecord) => void;
}

/** A line of the inner manifest. `path` is the name inside the tar; sizes are bytes, times nanoseconds as text. */
export interface MemberRecord {
  readonly path: string;
  /** The host's exact name, base64, where it is not valid UTF-8 or could not be the tar's name as it is. */
  readonly nameBase64?: string;
  readonly kind: MemberKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs?: string;
  readonly atimeNs?: string;
  readonly ctimeNs?: string;
  readonly size: number;
  readonly sha256?: string;
  readonly linkTarget?: string;
  readonly linkTargetBase64?: string;
  readonly truncated?: string;
  /** Bytes of zero that stand in for content that was gone when it was read. */
  readonly padded?: number;
}

const TAR_TYPES = {
  file: 'file',
  directory: 'directory',
  symlink: 'symlink',
  fifo: 'fifo',
  'character-device': 'character-device',
  'block-device': 'block-device',
} as const;

type MemberHeader = Partial<Header> & Pick<Header, 'name'>;

const encoder = new TextEncoder();

/** The archive as a stream of bytes. Memory is bounded by the largest single chunk of a member. */
export async function* tarArchive(members: AsyncIterable<Member> | Iterable<Member>): AsyncGenerator<Uint8Array> {
  const pack = tarPack();
  feed(pack, members).catch((error: unknown) => {
    pack.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  try {
    for await (const chunk of pack as AsyncIterable<Uint8Array>) yield chunk;
  } finally {
    pack.destroy();
  }
}

async function feed(pack: Pack, members: AsyncIterable<Member> | Iterable<Member>): Promise<void> {
  const manifest: Buffer[] = [];
  const names = new Set<string>();
  for await (const member of members) {
    const record = await append(pack, member, names);
    manifest.push(jsonLine(record));
    member.recorded?.(record);
  }
  const bytes = Buffer.concat(manifest);
  await entry(pack, { name: INNER_MANIFEST, mode: 0o600, size: bytes.length, mtime: new Date(0) }, bytes);
  pack.finalize();
}

async function append(pack: Pack, member: Member, names: Set<string>): Promise<MemberRecord> {
  const raw = typeof member.name === 'string' ? encoder.encode(member.name) : member.name;
  const path = uniqueName(memberName(raw), names);
  const kind = member.kind ?? 'file';
  const link = member.linkTarget === undefined ? undefined : rawText(member.linkTarget);
  const size = contentSize(member.content);
  const header: MemberHeader = {
    name: kind === 'directory' ? `${path}/` : path,
    type: TAR_TYPES[kind],
    mode: (member.mode ?? 0o444) & 0o7777,
    uid: member.uid ?? 0,
    gid: member.gid ?? 0,
    size,
    mtime: new Date(member.mtime === undefined ? 0 : Number(member.mtime / 1_000_000n)),
    pax: emptyAsNull(paxOf(member)),
    ...(link === undefined ? {} : { linkname: link.text }),
    ...(member.device === undefined ? {} : { devmajor: member.device.major, devminor: member.device.minor }),
  };
  const written = await writeContent(pack, header, member.content, names.size);
  return {
    path,
    ...(path === utf8OrUndefined(raw) ? {} : { nameBase64: Buffer.from(raw).toString('base64') }),
    kind,
    mode: header.mode ?? 0,
    uid: header.uid ?? 0,
    gid: header.gid ?? 0,
    ...nanoseconds(member),
    size,
    ...(kind === 'file' ? { sha256: written.sha256 } : {}),
    ...(link === undefined ? {} : { linkTarget: link.text }),
    ...(link?.base64 === undefined ? {} : { linkTargetBase64: link.base64 }),
    ...(member.truncated === undefined && written.truncated === undefined
      ? {}
      : { truncated: member.truncated ?? written.truncated }),
    ...(written.padded > 0 ? { padded: written.padded } : {}),
  } as MemberRecord;
}

interface Written {
  readonly sha256: string;
  readonly padded: number;
  readonly truncated: string | undefined;
}

async function writeContent(
  pack: Pack,
  header: MemberHeader,
  content: Member['content'],
  sequence: number,
): Promise<Written> {
  if (content === undefined || content instanceof Uint8Array) {
    const bytes = content ?? new Uint8Array(0);
    const packed = entry(pack, header, bytes);
    // small members are packed without waiting for each; the reader's pace is met at every 64th
    if (bytes.length > 65_536 || sequence % 64 === 0) await packed;
    else packed.catch(() => undefined); // the pack carries the failure to the reader
    return { sha256: sha256(bytes), padded: 0, truncated: undefined };
  }
  return streamContent(pack, header, content);
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
    if (!sink.write(chunk)) await Promise.race([new Promise<void>((resolve) => sink.once('drain', () => resolve())), done]);
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

/** One small member, waiting until the reader has taken it. */
function entry(pack: Pack, header: MemberHeader, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    pack.entry(header, body, (error?: Error | null) => (error ? reject(error) : resolve()));
  });
}

/** A name that every tar reader takes: relative, no empty or dot segments, no control bytes, valid UTF-8. */
function memberName(raw: Uint8Array): string {
  const text = utf8OrUndefined(raw) ?? escapeInvalid(raw);
  const segments = text
    .replace(/[\u0000-\u001f\u007f]/g, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
    .split('/')
    .filter((segment) => segment !== '' && segment !== '.')
    .map((segment) => (segment === '..' ? '%2e%2e' : segment));
  return segments.length === 0 ? '%' : segments.join('/');
}

function escapeInvalid(raw: Uint8Array): string {
  let text = '';
  for (const byte of raw) text += byte < 0x80 ? String.fromCharCode(byte) : `%${byte.toString(16)}`;
  return text;
}

/** Two host names may escape to one, and a host file may be called like the inner manifest. */
function uniqueName(name: string, names: Set<string>): string {
  let candidate = name === INNER_MANIFEST ? `${name}%` : name;
  for (let number = 2; names.has(candidate); number++) candidate = `${name}%${number}`;
  names.add(candidate);
  return candidate;
}

function rawText(value: Uint8Array | string): { readonly text: string; readonly base64?: string } {
  // tar-stream takes an empty target for one that is still to be written
  if (value.length === 0) return { text: '%', base64: '' };
  if (typeof value === 'string') return { text: value };
  const text = utf8OrUndefined(value);
  return text === undefined ? { text: escapeInvalid(value), base64: Buffer.from(value).toString('base64') } : { text };
}

function paxOf(member: Member): Record<string, string> {
  const pax: Record<string, string> = {};
  for (const name of ['mtime', 'atime', 'ctime'] as const) {
    const time = member[name];
    if (time !== undefined && (name !== 'mtime' || time % 1_000_000_000n !== 0n)) pax[name] = decimalSeconds(time);
  }
  // ustar's octal fields end at 2^21 - 1, which user namespaces exceed
  if ((member.uid ?? 0) > 0o7777777) pax.uid = String(member.uid);
  if ((member.gid ?? 0) > 0o7777777) pax.gid = String(member.gid);
  return pax;
}

function contentSize(content: Member['content']): number {
  if (content === undefined) return 0;
  return content instanceof Uint8Array ? content.length : content.size;
}

function emptyAsNull(pax: Record<string, string>): Record<string, string> | null {
  return Object.keys(pax).length === 0 ? null : pax;
}

function decimalSeconds(time: bigint): string {
  const negative = time < 0n;
  const absolute = negative ? -time : time;
  const fraction = (absolute % 1_000_000_000n).toString().padStart(9, '0');
  return `${negative ? '-' : ''}${absolute / 1_000_000_000n}.${fraction}`;
}

function nanoseconds(member: Member): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const name of ['mtime', 'atime', 'ctime'] as const) {
    const time = member[name];
    if (time !== undefined) fields[`${name}Ns`] = time.toString();
  }
  return fields;
}
