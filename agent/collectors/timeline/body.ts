// One line of a bodyfile, version 3 of The Sleuth Kit: MD5|name|inode|mode|UID|GID|size|atime|mtime|ctime|crtime. Pure;
// a worker thread loads it, so it imports no door at run time.
import type { TreeKind } from '../../host/pin.ts';
import type { TreeItem } from '../../host/tree.ts';

/** As fls(1) writes the kind: of the name, and of what it stands for. */
const LETTERS: Readonly<Record<TreeKind, string>> = {
  file: 'r',
  directory: 'd',
  symlink: 'l',
  fifo: 'p',
  socket: 'h',
  'character-device': 'c',
  'block-device': 'b',
};

/**
 * The line with its newline. Times are whole seconds, 0 where the file system keeps none; the digest is 0, "not taken".
 * `prefix` is text put before the name.
 */
export function bodyLine(prefix: string, item: TreeItem): string {
  const { kind, stats, path, linkTarget } = item;
  const name = path.length === 0 ? prefix || '/' : `${prefix}/${escapeName(path)}`;
  const shown = linkTarget === undefined ? name : `${name} -> ${escapeName(linkTarget)}`;
  const times = `${seconds(stats.atimeMs)}|${seconds(stats.mtimeMs)}|${seconds(stats.ctimeMs)}|${seconds(stats.birthtimeMs)}`;
  const mode = modeString(kind, Number(stats.mode));
  return `0|${shown}|${stats.ino}|${mode}|${stats.uid}|${stats.gid}|${stats.size}|${times}\n`;
}

/** "r/rrwsr-xr-x": the set-user-id, set-group-id and sticky bits show in the x columns, as ls(1) writes them. */
function modeString(kind: TreeKind, mode: number): string {
  const key = LETTERS[kind] + (mode & 0o7777).toString(8);
  const known = modes.get(key);
  if (known !== undefined) return known;
  const letter = LETTERS[kind];
  const triple = (shift: number, special: number, set: string): string => {
    const bits = mode >> shift;
    const execute = (bits & 1) !== 0;
    const last = (mode & special) === 0 ? (execute ? 'x' : '-') : execute ? set : set.toUpperCase();
    return `${(bits & 4) === 0 ? '-' : 'r'}${(bits & 2) === 0 ? '-' : 'w'}${last}`;
  };
  const text = `${letter}/${letter}${triple(6, 0o4000, 's')}${triple(3, 0o2000, 's')}${triple(0, 0o1000, 't')}`;
  modes.set(key, text);
  return text;
}

/** At most 7 kinds of 4,096 modes. */
const modes = new Map<string, string>();

/** Nothing to be escaped: no control byte, "%", "\", "|", and nothing beyond ASCII. */
const PLAIN = /^[\x20-\x24\x26-\x5b\x5d-\x7b\x7d\x7e]*$/;

/**
 * A name as text that stays on its line and in its field: control characters (C0, DEL, C1), line separators, "|" and
 * bytes that are no UTF-8 become `\xNN`, one for each byte; a backslash becomes `\\`. A "%" before two hexadecimal
 * digits becomes `\x25`, since mactime(1) would decode it, and then drop names with a newline in them; " -> " becomes
 * ` -\x3e `, which tells a name from a link's target.
 */
export function escapeName(bytes: Buffer): string {
  const ascii = bytes.toString('latin1');
  if (PLAIN.test(ascii) && !ascii.includes(' -> ')) return ascii;
  const valid = strictText(bytes);
  const text = valid ?? ascii;
  const special = valid === undefined ? NOT_TEXT : SPECIAL;
  return text.replace(special, (found) => {
    if (found === '\\') return '\\\\';
    if (found === ' -> ') return ' -\\x3e ';
    return [...Buffer.from(found, valid === undefined ? 'latin1' : 'utf8')].map(hex).join('');
  });
}

const SPECIAL = /[\0-\x1f\x7f-\x9f\u2028\u2029|\\]|%(?=[0-9A-Fa-f]{2})| -> /g;
/** Of bytes that are no UTF-8 as a whole, one character each: nothing beyond ASCII is taken for text. */
const NOT_TEXT = /[\0-\x1f\x7f-\xff|\\]|%(?=[0-9A-Fa-f]{2})| -> /g;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function strictText(bytes: Buffer): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** Before 1970 too: rounded down, as the kernel splits it. */
function seconds(milliseconds: bigint): number {
  return Math.floor(Number(milliseconds) / 1000);
}
