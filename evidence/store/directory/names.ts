// Names of what is half-written in a directory store: `data%10-process%a.tar%NONCE`, a file, or a folder of parts.
import { isBundlePath } from '../../format/layout.ts';

/** Ends the name of what is published as far as it came: the object under that path is then cut off, and not whole. */
const CUT = '.cut';

/** Of a name, 255 (NAME_MAX of Linux) less a nonce and what else may come after the path. */
export const MAX_PATH = 200;

export interface PartialName {
  readonly path: string;
  readonly cut: boolean;
}

export function partialName(path: string, nonce: string): string {
  return `${path.replaceAll('/', '%')}%${nonce}`;
}

export function cutName(name: string): string {
  return name.endsWith(CUT) ? name : `${name}${CUT}`;
}

/** Undefined for what is no half-written object. */
export function readPartialName(name: string): PartialName | undefined {
  const path = name.split('%').slice(0, -1).join('/');
  return isBundlePath(path) ? { path, cut: name.endsWith(CUT) } : undefined;
}
