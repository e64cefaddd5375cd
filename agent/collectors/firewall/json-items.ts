// Takes the objects of a JSON array out of a stream one by one: a ruleset of any size is never held as a whole.

export interface ItemReader {
  push(chunk: Uint8Array): void;
  /** How many objects could not be read: malformed, cut off, or larger than the bound. */
  end(): number;
}

const ITEM_BYTES = 8 * 1024 * 1024;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * Gives each object of the first array met, however deep that is: `[{…}, …]` as ip(8) and tc(8) print it, or
 * `{"nftables": [{…}, …]}` as nft(8) does.
 */
export function jsonItems(take: (item: Record<string, unknown>) => void, bound: number = ITEM_BYTES): ItemReader {
  let depth = 0;
  let base: number | undefined;
  let inString = false;
  let escaped = false;
  let parts: Buffer[] = [];
  let size = 0;
  let inItem = false;
  let bad = 0;
  const keep = (part: Buffer): void => {
    size += part.length;
    if (size <= bound) parts.push(Buffer.from(part));
    else parts = [];
  };
  const finish = (): void => {
    const item = size <= bound ? parsed(Buffer.concat(parts)) : undefined;
    if (item === undefined) bad++;
    else take(item);
    parts = [];
    size = 0;
    inItem = false;
  };
  return {
    push(chunk) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      let start = 0;
      for (let at = 0; at < bytes.length; at++) {
        const byte = bytes[at] ?? 0;
        if (inString) {
          if (escaped) escaped = false;
          else if (byte === BACKSLASH) escaped = true;
          else if (byte === QUOTE) inString = false;
        } else if (byte === QUOTE) {
          inString = true;
        } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
          if (base === undefined && byte === OPEN_ARRAY) {
            base = depth + 1;
          } else if (depth === base && !inItem) {
            inItem = true;
            start = at;
          }
          depth++;
        } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
          depth--;
          if (inItem && depth === base) {
            keep(bytes.subarray(start, at + 1));
            finish();
          }
        }
      }
      if (inItem) keep(bytes.subarray(start));
    },
    end() {
      if (inItem) bad++;
      return bad;
    },
  };
}

function parsed(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    return asObject(JSON.parse(bytes.toString('utf8')));
  } catch {
    return undefined; // counted by the caller
  }
}

/** The value where it is an object, and no array. */
export function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

export function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

export function asNumber(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
