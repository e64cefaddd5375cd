// JSON that a server put into its answers as text.

/** Deeper than any specification; what is far deeper could be parsed, but not written again. */
const MAX_DEPTH = 256;

/** Undefined for what is no JSON, and for JSON that is nested deeper than 256. */
export function jsonOf(text: string): unknown {
  if (isDeep(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Counts brackets outside of strings, as far as what is no JSON has strings. */
function isDeep(text: string): boolean {
  let depth = 0;
  for (const [bracket] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[{\]}]/g)) {
    if (bracket === '[' || bracket === '{') depth++;
    else if (bracket === ']' || bracket === '}') depth--;
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}
