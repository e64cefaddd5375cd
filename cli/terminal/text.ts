// Text for a terminal: evidence escaped, sizes and times short, tables that fit.
import { stripVTControlCharacters, styleText } from 'node:util';

/** Control, format and bidirectional characters made visible, so that text from evidence cannot steer the terminal. */
export function escapeText(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (character) => {
      const code = character.charCodeAt(0);
      return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
    },
  );
}

/** Bytes in binary units, three figures: "1.2 MiB". */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** "1 gap", "2 gaps". */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** How old something is, in the largest whole unit: "5 s", "12 min", "3 h", "41 d". */
export function formatAge(seconds: number): string {
  const units = [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'min'],
  ] as const;
  const [size, unit] = units.find(([one]) => seconds >= 2 * one) ?? [1, 's'];
  return `${Math.max(0, Math.floor(seconds / size))} ${unit}`;
}

export type Style = Parameters<typeof styleText>[0];

/** Styles text where the stream is a terminal that takes colour (NO_COLOR and FORCE_COLOR are honoured). */
export function styled(style: Style, text: string, stream: NodeJS.WriteStream): string {
  return styleText(style, text, { stream });
}

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** The column that gives way where the table is wider than the terminal. */
  readonly flexible?: boolean;
}

/** Rows as aligned text, no wider than `width` columns (a pipe has no end to them); cells must be escaped already. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], width: number): string {
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...rows.map((row) => visibleLength(row[index] ?? ''))),
  );
  const total = widths.reduce((sum, value) => sum + value, 0) + 2 * (columns.length - 1);
  const flexible = columns.findIndex((column) => column.flexible);
  if (total > width && flexible !== -1) {
    widths[flexible] = Math.max(12, (widths[flexible] ?? 0) - (total - width));
  }
  const line = (cells: readonly string[]): string =>
    columns
      .map((column, index) => pad(cells[index] ?? '', widths[index] ?? 0, column.align ?? 'left'))
      .join('  ')
      .trimEnd();
  return [line(columns.map((column) => column.title)), ...rows.map(line)].join('\n');
}

/** The same without as many of the `dispensable` columns as it takes to fit. */
export function fittingTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  dispensable: readonly string[],
  width: number,
): string {
  const text = table(columns, rows, width);
  const [first, ...rest] = dispensable;
  const index = columns.findIndex(({ title }) => title === first);
  if (first === undefined || text.split('\n').every((line) => visibleLength(line) <= width)) return text;
  const without = <T>(cells: readonly T[]): readonly T[] => cells.filter((_, at) => at !== index);
  return fittingTable(without(columns), rows.map(without), rest, width);
}

function visibleLength(text: string): number {
  return stripVTControlCharacters(text).length;
}

function pad(text: string, width: number, align: 'left' | 'right'): string {
  const length = visibleLength(text);
  if (length > width) return `${stripVTControlCharacters(text).slice(0, width - 1)}…`;
  const space = ' '.repeat(width - length);
  return align === 'left' ? text + space : space + text;
}
