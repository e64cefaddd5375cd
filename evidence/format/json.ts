// JSON lines, and text fields for bytes that may not be UTF-8.

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lossyUtf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** The bytes as text if they are valid UTF-8, else undefined. */
export function utf8OrUndefined(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/**
 * A field for a table: `{name: text}`, and where the bytes are not valid UTF-8 also `{name_base64: …}` with the exact
 * bytes, the text then being readable but lossy.
 */
export function textField(name: string, bytes: Uint8Array): Record<string, string> {
  const text = utf8OrUndefined(bytes);
  if (text !== undefined) return { [name]: text };
  return { [name]: lossyUtf8.decode(bytes), [`${name}_base64`]: Buffer.from(bytes).toString('base64') };
}

/** One JSON line with its newline. Fields that are undefined are left out. */
export function jsonLine(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}

/** Values as JSON lines in chunks of some 64 KiB, so that rows do not travel one by one, or of what 200 ms brought. */
export async function* jsonLines(values: AsyncIterable<unknown> | Iterable<unknown>): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let size = 0;
  let given = performance.now();
  for await (const value of values) {
    const line = jsonLine(value);
    pending.push(line);
    size += line.length;
    if (size >= 65_536 || performance.now() - given > 200) {
      yield Buffer.concat(pending);
      pending = [];
      size = 0;
      given = performance.now();
    }
  }
  if (pending.length > 0) yield Buffer.concat(pending);
}
