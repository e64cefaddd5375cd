// The mount tables of two namespaces side by side: where what one calls a path stands in the other.
import { MAX_MOUNTINFO, type MountLine, mountLines } from '../../host/mountinfo.ts';
import { kernelReader } from '../../host/read.ts';

/** Of one namespace: thousands of pods' volumes. */
const MAX_MOUNTS = 20_000;

/** In the order they were made. Throws the system's errors. */
export function mountTable(mountinfo: string): readonly MountLine[] {
  return [...mountLines(kernelReader().read(mountinfo, MAX_MOUNTINFO).bytes.toString('latin1'), MAX_MOUNTS)];
}

/**
 * Where `path`, as the namespace of `inside` sees it, stands in the one of `outside`: most likely first, since a part of
 * a file system may be mounted in several places.
 */
export function translate(
  path: string,
  inside: readonly MountLine[],
  outside: readonly MountLine[],
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

function hasLonger(path: string, point: string, mounts: readonly MountLine[]): boolean {
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
