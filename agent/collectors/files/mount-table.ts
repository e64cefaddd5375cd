// All that mountinfo says of a mount namespace's mounts, in the order they were made. proc_pid_mountinfo(5).
import { MAX_MOUNTINFO } from '../../host/mounts.ts';
import { kernelReader } from '../../host/read.ts';

/** Of one namespace: thousands of pods' volumes. */
const MAX_MOUNTS = 20_000;

export interface MountEntry {
  /** "MAJOR:MINOR" of its superblock. */
  readonly device: string;
  /** The folder of the file system that is seen here. One character a byte, as `point` is. */
  readonly root: string;
  /** Where, seen from the root of the process whose table it is. */
  readonly point: string;
  readonly type: string;
}

/** Throws the system's errors. */
export function mountTable(mountinfo: string): readonly MountEntry[] {
  const found: MountEntry[] = [];
  for (const line of kernelReader().read(mountinfo, MAX_MOUNTINFO).bytes.toString('latin1').split('\n')) {
    const [, device, root = '', point = '', type = ''] = LINE.exec(line) ?? [];
    if (device === undefined || found.length >= MAX_MOUNTS) continue;
    found.push({ device, root: unescaped(root), point: unescaped(point), type });
  }
  return found;
}

/**
 * Where `path`, as the namespace of `inside` sees it, stands in the one of `outside`: most likely first, since a part of
 * a file system may be mounted in several places.
 */
export function translate(
  path: string,
  inside: readonly MountEntry[],
  outside: readonly MountEntry[],
): readonly string[] {
  const mount = inside.findLast(({ point }) => below(path, point) !== undefined && !hasLonger(path, point, inside));
  if (mount === undefined) return [];
  const inFileSystem = join(mount.root, below(path, mount.point) ?? '');
  const same = outside
    .filter(({ device }) => device === mount.device)
    .toSorted((a, b) => a.root.length - b.root.length);
  return same.flatMap(({ root, point }) => {
    const rest = below(inFileSystem, root);
    return rest === undefined ? [] : join(point, rest);
  });
}

const LINE = /^\d+ \d+ (\d+:\d+) (\S+) (\S+) .*? - (\S+) /;

function hasLonger(path: string, point: string, mounts: readonly MountEntry[]): boolean {
  return mounts.some((other) => other.point.length > point.length && below(path, other.point) !== undefined);
}

/** What of `path` is below `folder`; empty for the folder itself, undefined where it is elsewhere. */
export function below(path: string, folder: string): string | undefined {
  if (folder === '/') return path.slice(1);
  if (path === folder) return '';
  return path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : undefined;
}

function join(folder: string, rest: string): string {
  if (rest === '') return folder;
  return folder === '/' ? `/${rest}` : `${folder}/${rest}`;
}

/** Blanks, tabs, newlines and backslashes stand as three octal digits. */
function unescaped(point: string): string {
  return point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
