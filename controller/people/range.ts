// Which bytes a request wants: one range of RFC 9110, section 14; more than one is as none, which the RFC allows.

/** `end` is after the last byte. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** All of it where undefined: no range, one that is not understood, or one of another state of the object. */
export function rangeOf(
  headers: { readonly range?: string | undefined /** "" as none. */; readonly 'if-range'?: string },
  size: number,
  etag: string | undefined,
): ByteRange | 'unsatisfiable' | undefined {
  const condition = headers['if-range'];
  if (condition !== undefined && condition !== '' && condition.trim() !== etag) return undefined;
  const match = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(headers.range ?? '');
  if (match === null) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const length = Math.min(Number(last), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size };
  }
  const start = Number(first);
  const end = last === '' ? size : Math.min(Number(last) + 1, size);
  if (last !== '' && Number(last) < start) return undefined;
  return start >= size ? 'unsatisfiable' : { start, end };
}
