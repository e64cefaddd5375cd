// Reads a tar as a hostile one: every length bounded before anything is kept. tar-stream's own reader holds a PAX
// header of any size in memory, so members are read here and nowhere else.
import { ImpoundError } from '../errors.ts';

const BLOCK = 512;
/** PAX records of one member: names, times and attributes; Linux allows an attribute 64 KiB. */
const MAX_PAX_BYTES = 1024 * 1024;

export interface TarMember {
  readonly path: string;
  /** ustar's type flag: "0" file, "2" symlink, "5" directory, … */
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly linkTarget: string;
  /** Its content; what is left unread is skipped. */
  readonly content: AsyncIterable<Uint8Array>;
}

/** Members in order. Throws `content-damaged` where the archive is not a whole POSIX tar. */
export async function* readTar(bytes: AsyncIterable<Uint8Array>, thing: string): AsyncGenerator<TarMember> {
  const source = new ByteSource(bytes, thing);
  try {
    yield* readMembers(source, thing);
  } finally {
    // a decompressor that is left open goes on reading what somebody else reads next
    await source.close();
  }
}

async function* readMembers(source: ByteSource, thing: string): AsyncGenerator<TarMember> {
  let pax: ReadonlyMap<string, string> = new Map();
  for (;;) {
    const header = await source.exactly(BLOCK);
    if (header.every((byte) => byte === 0)) {
      await source.onlyZeros();
      return;
    }
    const fields = parseHeader(header, thing);
    if (fields.type === 'x') {
      if (fields.size > MAX_PAX_BYTES) throw damaged(thing, `a PAX header of ${fields.size} bytes`);
      pax = parsePax(await source.exactly(fields.size), thing);
      await source.skip(padding(fields.size));
      continue;
    }
    if (fields.type === 'g' || fields.type === 'L' || fields.type === 'K')
      throw damaged(thing, `a member of type ${fields.type}`);
    const size = number(pax.get('size'), fields.size);
    let left = size;
    async function* content(): AsyncGenerator<Uint8Array> {
      while (left > 0) {
        const chunk = await source.upTo(left);
        left -= chunk.length;
        yield chunk;
      }
    }
    yield {
      ...fields,
      path: pax.get('path') ?? fields.path,
      linkTarget: pax.get('linkpath') ?? fields.linkTarget,
      uid: number(pax.get('uid'), fields.uid),
      gid: number(pax.get('gid'), fields.gid),
      size,
      content: content(),
    };
    await source.skip(left + padding(size));
    pax = new Map();
  }
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function number(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  return Number.isSafeInteger(value) && value >= 0 ? value : otherwise;
}

function parseHeader(header: Buffer, thing: string) {
  const stored = octal(header, 148, 8);
  const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte), 0);
  if (stored !== sum) throw damaged(thing, 'a header whose checksum is wrong');
  const prefix = text(header, 345, 155);
  const name = text(header, 0, 100);
  return {
    path: prefix === '' ? name : `${prefix}/${name}`,
    mode: octal(header, 100, 8),
    uid: octal(header, 108, 8),
    gid: octal(header, 116, 8),
    size: octal(header, 124, 12),
    type: String.fromCharCode(header.readUInt8(156) || 48),
    linkTarget: text(header, 157, 100),
  };
}

function text(header: Buffer, offset: number, length: number): string {
  const field = header.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return field.subarray(0, end === -1 ? length : end).toString('utf8');
}

/** An octal field, or GNU's base-256 form where the first bit is set. */
function octal(header: Buffer, offset: number, length: number): number {
  const first = header.readUInt8(offset);
  if ((first & 0x80) !== 0) return header.readUIntBE(offset + length - 6, 6);
  return Number.parseInt(text(header, offset, length).trim(), 8) || 0;
}

function parsePax(bytes: Buffer, thing: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  let position = 0;
  while (position < bytes.length) {
    const space = bytes.indexOf(32, position);
    const length = Number(bytes.subarray(position, space).toString('latin1'));
    const record = bytes.subarray(space + 1, position + length - 1);
    const equals = record.indexOf(61);
    const valid = space > position && Number.isSafeInteger(length) && length > space - position + 2;
    if (!valid || position + length > bytes.length || equals < 1)
      throw damaged(thing, 'a PAX header that cannot be read');
    fields.set(record.subarray(0, equals).toString('utf8'), record.subarray(equals + 1).toString('utf8'));
    position += length;
  }
  return fields;
}

function damaged(thing: string, why: string): ImpoundError {
  return new ImpoundError('content-damaged', `${thing} is not a whole tar: ${why}`, { operation: 'read tar', thing });
}

/** Takes exact amounts out of a stream of chunks. */
class ByteSource {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #thing: string;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(bytes: AsyncIterable<Uint8Array>, thing: string) {
    this.#iterator = bytes[Symbol.asyncIterator]();
    this.#thing = thing;
  }

  /** Between 1 and `length` bytes. */
  async upTo(length: number): Promise<Uint8Array> {
    if (!(await this.#fill())) throw damaged(this.#thing, 'it ends early');
    const taken = this.#chunk.subarray(0, length);
    this.#chunk = this.#chunk.subarray(taken.length);
    return taken;
  }

  async exactly(length: number): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    for (let left = length; left > 0; ) {
      const part = await this.upTo(left);
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; ) left -= (await this.upTo(left)).length;
  }

  async onlyZeros(): Promise<void> {
    while (await this.#fill()) {
      if (this.#chunk.some((byte) => byte !== 0)) throw damaged(this.#thing, 'something follows its end');
      this.#chunk = new Uint8Array(0);
    }
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }

  /** False at the end of the stream. */
  async #fill(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      const { value, done } = await this.#iterator.next();
      if (done === true) return false;
      this.#chunk = value;
    }
    return true;
  }
}
