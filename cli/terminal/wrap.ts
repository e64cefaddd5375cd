// Text broken into lines for a terminal.
import { escapeText } from './text.ts';

/** Escaped, and broken between words; a word that is longer than a line stands alone. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of escapeText(text)
    .split(' ')
    .filter((one) => one !== '')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
