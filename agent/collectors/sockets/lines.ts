// Lines of a table that arrives in chunks, as latin1 text: each character is one byte of the kernel's output.

/** What a table parser looks like: it is given every line once, in order, and told when there are no more. */
export interface LineReader {
  line(text: string): void;
  end(): void;
}

const LONGEST_LINE = 1024 * 1024;

/** Feeds `reader` with the lines of the chunks pushed; a line above 1 MiB comes in pieces, so memory stays bounded. */
export function lineSplitter(reader: LineReader): { push(chunk: Uint8Array): void; end(): void } {
  let rest = '';
  return {
    push(chunk) {
      const text = rest + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1');
      let start = 0;
      for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
        reader.line(text.slice(start, end));
        start = end + 1;
      }
      rest = text.slice(start);
      if (rest.length > LONGEST_LINE) {
        reader.line(rest);
        rest = '';
      }
    },
    end() {
      if (rest !== '') reader.line(rest);
      rest = '';
      reader.end();
    },
  };
}

/** Non-empty columns between blanks. */
export function columns(line: string): string[] {
  const trimmed = line.trim();
  return trimmed === '' ? [] : trimmed.split(/[ \t]+/);
}

/** A non-negative decimal, or undefined: no sign, no blanks, no more than a double holds exactly. */
export function decimal(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** A hexadecimal number of at most 13 digits, or undefined. */
export function hexadecimal(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9a-fA-F]{1,13}$/.test(text) ? Number.parseInt(text, 16) : undefined;
}
