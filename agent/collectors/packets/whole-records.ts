// Cuts a stream of classic pcap between two records, wherever and however the stream ends. pcap-savefile(5).

const HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const CAPTURED_LENGTH_AT = 8;
/** No snapshot length of libpcap is larger (MAXIMUM_SNAPLEN of most link types): a longer record is none. */
const MAX_RECORD_BYTES = 1024 * 1024;
const LITTLE_ENDIAN_MAGIC = new Set([0xa1b2c3d4, 0xa1b23c4d]);
const BIG_ENDIAN_MAGIC = new Set([0xd4c3b2a1, 0x4d3cb2a1]);

export interface PcapEnd {
  records: number;
  /** Bytes behind the last whole record that were left out. */
  cut: number;
  /** `full`: the next record was beyond the bound. */
  kind: 'ended' | 'full' | 'malformed';
}

/** The file header and whole records, up to `bound` bytes. `end` is filled in as they go by. */
export async function* wholeRecords(
  chunks: AsyncIterable<Uint8Array>,
  bound: number,
  end: PcapEnd,
): AsyncGenerator<Uint8Array> {
  let waiting = Buffer.alloc(0);
  let littleEndian: boolean | undefined;
  let given = 0;
  for await (const chunk of chunks) {
    waiting = waiting.length === 0 ? Buffer.from(chunk) : Buffer.concat([waiting, chunk]);
    let at = 0;
    if (littleEndian === undefined) {
      if (waiting.length < HEADER_BYTES) continue;
      littleEndian = byteOrder(waiting);
      if (littleEndian === undefined) end.kind = 'malformed';
      else at = HEADER_BYTES;
    }
    while (end.kind === 'ended' && waiting.length - at >= RECORD_HEADER_BYTES) {
      const length = littleEndian
        ? waiting.readUInt32LE(at + CAPTURED_LENGTH_AT)
        : waiting.readUInt32BE(at + CAPTURED_LENGTH_AT);
      const size = RECORD_HEADER_BYTES + length;
      if (size > MAX_RECORD_BYTES) end.kind = 'malformed';
      else if (given + at + size > bound) end.kind = 'full';
      else if (waiting.length - at < size) break;
      else {
        at += size;
        end.records++;
      }
    }
    if (at > 0) yield waiting.subarray(0, at);
    given += at;
    waiting = waiting.subarray(at);
    end.cut = waiting.length;
    if (end.kind !== 'ended') return;
  }
}

function byteOrder(header: Buffer): boolean | undefined {
  const magic = header.readUInt32LE(0);
  if (LITTLE_ENDIAN_MAGIC.has(magic)) return true;
  return BIG_ENDIAN_MAGIC.has(magic) ? false : undefined;
}
