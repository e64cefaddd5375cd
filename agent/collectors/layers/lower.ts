// What the lower layers have under a name, as the walk over the upper directory goes down: the folders on the way are
// held open, so that no link is followed and each lookup is one call a layer.
import { type BigIntStats, closeSync, fstatSync, lstatSync, openSync } from 'node:fs';
import { childPath, O_PATH_NOFOLLOW, pinBelow } from '../../host/open.ts';
import { isNotThere } from '../../host/tree.ts';

/** Descriptors of lower folders that are held at once; the usual limit of a process is 1,024 or more. */
const MAX_OPEN = 256;

export interface LowerLayers {
  /**
   * What stands below the upper item `path` (raw bytes below the upper directory), asked in the order of the walk:
   * undefined where nothing does, "unknown" below a folder where they could not be entered. Throws the system's errors.
   */
  find(path: Buffer): BigIntStats | 'unknown' | undefined;
  /**
   * The folder `path` was given: with `below` false, nothing of the lower layers shows in it, "unknown" if nobody can
   * tell. Throws the system's errors, and EMFILE where too many folders would be open; what is below is unknown then.
   */
  enter(path: Buffer, below: boolean | 'unknown'): void;
  close(): void;
}

interface Folder {
  readonly fd: number;
  /** Index of its layer. */
  readonly layer: number;
}

/** One folder on the way to where the walk stands, with the lower folders that are merged into it, topmost first. */
interface Level {
  readonly path: string;
  readonly folders: readonly Folder[];
  unknown: boolean;
}

/**
 * `lower` are folders below `root`, no link on the way, the topmost first; at most 256, what is below them is unknown.
 * `hides` tells a layer's marks on its folder `path`, one character a byte.
 */
export function lowerLayers(
  root: string,
  lower: readonly string[],
  hides: (layer: number, path: string) => 'opaque' | 'renamed' | undefined,
): LowerLayers {
  let open = 0;
  const pinned = lower.slice(0, MAX_OPEN).flatMap((path, layer) => {
    try {
      return [{ fd: pinBelow(root, path), layer }];
    } catch {
      return []; // it was there a moment ago, see realFolders
    }
  });
  open += pinned.length;
  const levels: Level[] = [{ path: '', folders: pinned, unknown: pinned.length < lower.length }];
  const leave = (): void => {
    const level = levels.pop();
    for (const { fd } of level?.folders ?? []) closeSync(fd);
    open -= level?.folders.length ?? 0;
  };
  /** The level of the folder that `path` is in. */
  const levelOf = (path: string): Level | undefined => {
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    for (let level = levels.at(-1); level !== undefined && level.path !== parent; level = levels.at(-1)) {
      if (level.path === '' || parent.startsWith(`${level.path}/`)) return undefined; // its parent was not entered
      leave();
    }
    return levels.at(-1);
  };
  return {
    find(path) {
      const text = path.toString('latin1');
      const level = levelOf(text);
      for (const { fd } of level?.folders ?? []) {
        const stats = statIn(fd, nameOf(path));
        if (stats !== undefined) return isWhiteout(stats) ? undefined : stats;
      }
      return level?.unknown ? 'unknown' : undefined;
    },
    enter(path, below) {
      const text = path.toString('latin1');
      const level = levelOf(text);
      const folders: Folder[] = [];
      const entered: Level = {
        path: text,
        folders,
        unknown: below === 'unknown' || (below && level?.unknown === true),
      };
      levels.push(entered);
      if (below !== true) return;
      try {
        for (const { fd: folder, layer } of level?.folders ?? []) {
          if (open >= MAX_OPEN) throw Object.assign(new Error('too many lower folders'), { code: 'EMFILE' });
          const fd = folderIn(folder, nameOf(path));
          if (fd === undefined) continue;
          if (fd === 'hidden') return;
          open++;
          folders.push({ fd, layer });
          const hidden = hides(layer, text);
          if (hidden === 'renamed') entered.unknown = true;
          if (hidden !== undefined) return;
        }
      } catch (error) {
        entered.unknown = true;
        throw error;
      }
    },
    close() {
      while (levels.length > 0) leave();
    },
  };
}

function statIn(folder: number, name: Buffer): BigIntStats | undefined {
  try {
    return lstatSync(Buffer.concat([Buffer.from(childPath(folder, '')), name]), { bigint: true });
  } catch (error) {
    if (isNotThere(error)) return undefined;
    throw error;
  }
}

/** "hidden" where what is no folder hides the folders of this name in the layers below. */
function folderIn(folder: number, name: Buffer): number | 'hidden' | undefined {
  let fd: number;
  try {
    fd = openSync(Buffer.concat([Buffer.from(childPath(folder, '')), name]), O_PATH_NOFOLLOW);
  } catch (error) {
    if (isNotThere(error)) return undefined;
    throw error;
  }
  if (fstatSync(fd).isDirectory()) return fd;
  closeSync(fd);
  return 'hidden';
}

function nameOf(path: Buffer): Buffer {
  return path.subarray(path.lastIndexOf(0x2f) + 1);
}

function isWhiteout(stats: BigIntStats): boolean {
  return stats.isCharacterDevice() && stats.rdev === 0n;
}
