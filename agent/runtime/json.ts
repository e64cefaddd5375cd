// Reads values out of an engine's JSON, which may have any shape: a missing or odd field is undefined, never an error.

/** The value behind a path of keys. */
export function at(value: unknown, ...keys: readonly string[]): unknown {
  let current = value;
  for (const key of keys) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, key)) return undefined;
    current = (current as Readonly<Record<string, unknown>>)[key];
  }
  return current ?? undefined;
}

export function textAt(value: unknown, ...keys: readonly string[]): string | undefined {
  const found = at(value, ...keys);
  return typeof found === 'string' && found !== '' ? found : undefined;
}

export function numberAt(value: unknown, ...keys: readonly string[]): number | undefined {
  const found = at(value, ...keys);
  return typeof found === 'number' ? found : undefined;
}

export function listAt(value: unknown, ...keys: readonly string[]): readonly unknown[] {
  const found = at(value, ...keys);
  return Array.isArray(found) ? found : [];
}

export function textsAt(value: unknown, ...keys: readonly string[]): readonly string[] {
  return listAt(value, ...keys).filter((item) => typeof item === 'string');
}

/** An object's entries; none where it is not an object. */
export function entriesAt(value: unknown, ...keys: readonly string[]): readonly (readonly [string, unknown])[] {
  const found = at(value, ...keys);
  return typeof found === 'object' && found !== null && !Array.isArray(found) ? Object.entries(found) : [];
}

/** An engine's time stamp, or undefined for Go's zero time, which stands for "never". */
export function timeAt(value: unknown, ...keys: readonly string[]): string | undefined {
  const found = textAt(value, ...keys);
  return found === undefined || found.startsWith('0001-01-01T') ? undefined : found;
}

/**
 * A JSON array of objects whose end was cut off: the objects that are whole. The cut is at the last "}" after which
 * the text closes to valid JSON; one within a string does not.
 */
export function parseCutArray(text: string): readonly unknown[] {
  const start = text.trimStart();
  if (!start.startsWith('[')) return [];
  let end = start.length;
  for (let tries = 0; tries < CUT_TRIES; tries++) {
    end = start.lastIndexOf('}', end - 1);
    if (end < 0) return [];
    try {
      const value: unknown = JSON.parse(`${start.slice(0, end + 1)}]`);
      return Array.isArray(value) ? value : [];
    } catch {
      // a brace within a string or of an inner object: the one before it
    }
  }
  return [];
}

const CUT_TRIES = 8;
