// Extended attributes of a whole folder by one run of getfattr(1): Node has no call for them.
import type { NodeContext } from '../../context.ts';
import { unescapeOctal } from '../../host/mountinfo.ts';

/** Of the program's output; a layer has few attributes, unless somebody fills it with them. */
const OUTPUT_BYTES = 256 * 1024 ** 2;
/** Names and values that are held for one layer. */
const HELD_BYTES = 64 * 1024 ** 2;
const SECONDS = 120;
const MAX_LINE_BYTES = 1024 * 1024;

export type Xattrs = ReadonlyMap<string, Uint8Array>;

/** Attributes by the path below the folder, one character a byte ("" for the folder itself). */
export type XattrIndex = ReadonlyMap<string, Xattrs>;

/**
 * Attributes of `folder` (as this process sees it) and of all below it, no link followed. What could not be had is a gap
 * named after `label`.
 */
export async function readXattrs(
  context: NodeContext,
  folder: string,
  label: string,
  names = '-',
): Promise<XattrIndex> {
  const args = ['-R', '-P', '-h', '-d', '-m', names, '-e', 'base64', '--absolute-names', '--', folder];
  const limits = { signal: context.signal, seconds: SECONDS, bytes: OUTPUT_BYTES };
  const running = await context.programs.start('getfattr', args, limits);
  const parser = xattrParser(Buffer.from(folder).toString('latin1'));
  let pending = '';
  let more = false;
  for await (const chunk of running.stdout) {
    const lines = (pending + Buffer.from(chunk).toString('latin1')).split('\n');
    pending = lines.pop() ?? '';
    more ||= pending.length > MAX_LINE_BYTES || !lines.every((line) => parser.take(line));
    if (more) break;
  }
  const ending = await running.ended;
  const name = `${label}: extended attributes`;
  if (more) context.gap({ reason: 'truncated', name, detail: `more than ${HELD_BYTES} bytes of a layer` });
  else if (ending.kind === 'missing') context.gap({ reason: 'unsupported', name, detail: ending.why });
  else if (ending.kind !== 'done') context.gap({ reason: ending.kind, name, detail: ending.why });
  return parser.found;
}

interface XattrParser {
  readonly found: XattrIndex;
  /** False once no more is held. */
  take(line: string): boolean;
}

/** Of getfattr's output, one character a byte: "# file: PATH", "NAME=0sBASE64" lines, an empty line. */
export function xattrParser(folder: string): XattrParser {
  const found = new Map<string, Map<string, Uint8Array>>();
  let current: Map<string, Uint8Array> | undefined;
  let held = 0;
  return {
    found,
    take(line) {
      if (line.startsWith('# file: ')) {
        const path = unescapeOctal(line.slice(8));
        const below = path === folder ? '' : path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : undefined;
        current = below === undefined ? undefined : new Map();
        if (below !== undefined && current !== undefined) found.set(below, current);
        held += line.length;
      } else if (current !== undefined && line !== '') {
        const [, name, value = ''] = /^((?:[^=\\]|\\[0-7]{3})+)(?:=0s([A-Za-z0-9+/]*=*))?$/.exec(line) ?? [];
        if (name !== undefined) current.set(utf8(unescapeOctal(name)), Buffer.from(value, 'base64'));
        held += line.length;
      }
      return held <= HELD_BYTES;
    },
  };
}

function utf8(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8');
}
