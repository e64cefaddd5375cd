// Walks a folder of a live, possibly hostile host: names as raw bytes, no link followed, no file system entered that may
// never answer, every bound a gap. Synchronous, since it runs on worker threads too; the main thread uses `paced`.
import { type BigIntStats, closeSync, fstatSync, lstatSync, openSync, readlinkSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import type { Gap } from '../../evidence/index.ts';
import { errnoOf, gapOf, Refusal } from './errno.ts';
import { answeringMount } from './mount-of.ts';
import { type Mounts, readMounts } from './mounts.ts';
import { O_PATH_NOFOLLOW, type OpenFile, openPinned, readLink } from './open.ts';
import { type Pinned, pinAt, type TreeKind, treeKind } from './pin.ts';
import { FolderNames, Folders } from './tree/folders.ts';

export interface TreeItem {
  /** Below the tree's root, raw bytes, "/" between; empty for the root itself. */
  readonly path: Buffer;
  readonly kind: TreeKind;
  readonly stats: BigIntStats;
  /** Raw target of a symbolic link. */
  readonly linkTarget?: Buffer;
  /**
   * Opens a regular file, while the walk stands at this item: no link followed, atime kept where it may be. The caller
   * closes it. Throws the system's errors and Refusals.
   */
  open(): OpenFile;
}

export interface TreeOptions {
  /** What the tree is called in gaps: "/var/log", "layer 3f2a…". */
  readonly label: string;
  gap(gap: Gap): void;
  readonly signal?: { readonly aborted: boolean };
  /** Items given at most; what is left is counted in the folders that were begun. */
  readonly items: number;
  /** Folders inside folders, 128 where absent. */
  readonly depth?: number;
  /** Not what is mounted below the root. */
  readonly oneFileSystem?: boolean;
  /** What is mounted below the walk's `root`, paths as seen from there; our own mounts where absent. */
  readonly mounts?: Mounts;
  /** See Root: where a stranger's mount namespace is walked. */
  readonly mountinfo?: string;
  /** Folders that are given but not entered, such as the capture's own; paths as this process sees them. */
  readonly leaveOut?: readonly string[];
  /** False for a folder that is given but not entered. */
  enter?(item: TreeItem): boolean;
}

/** /proc/self/fd without the link in it, which would be followed for every name. */
const OWN_DESCRIPTORS = `/proc/${readlinkSync('/proc/self')}/fd`;
const MAX_DEPTH = 128;
const MAX_LEFT = 1_000_000;
/** PATH_MAX of limits.h; folders in folders make longer paths, and each name in them would carry all of it. */
const MAX_PATH_BYTES = 4096;

/**
 * What stands at `path` below `root`, and everything below it, folders before what is in them, in the order the file
 * system gives. Links on the way to `path` are followed inside `root`; none below it is. Nothing there is a gap `absent`.
 */
export function* walkTree(root: string, path: string, options: TreeOptions): Generator<TreeItem> {
  const base = root === '/' ? '' : Buffer.from(root).toString('latin1');
  const { mountinfo } = options;
  let mounts: Mounts;
  let pinned: Pinned;
  try {
    mounts = options.mounts === undefined ? readMounts() : mountsBelow(base, options.mounts);
    const guarded = mountinfo === undefined ? {} : { mountinfo };
    pinned = pinAt({ path: root, mounts, withKernel: true, ...guarded }, Buffer.from(path), 'all');
  } catch (error) {
    options.gap(gapOf(error, options.label, 'absent'));
    return;
  }
  const { fd, kind, stats, mountId } = pinned;
  const below = pinned.path.length === 0 ? '' : `/${pinned.path.toString('latin1')}`;
  const walk = new Walk(options, mounts, base + below);
  try {
    walk.device = stats.dev;
    yield { path: Buffer.alloc(0), kind, stats, open: () => openPinned(fd) };
    walk.given++;
    if (kind === 'directory') yield* walk.folder(fd, { path: Buffer.alloc(0), stats, depth: 1, mountId });
  } catch (error) {
    options.gap(gapOf(error, options.label));
  } finally {
    closeSync(fd);
  }
  walk.end();
}

/** A folder that is walked, and stays open meanwhile: its mount keeps its number. */
interface Folder {
  /** Below the tree's root. */
  readonly path: Buffer;
  readonly stats: BigIntStats;
  readonly depth: number;
  /** Known to answer; undefined where those who mount here are trusted to have a table that holds. */
  readonly mountId: string | undefined;
}

class Walk {
  given = 0;
  device = 0n;
  readonly #options: TreeOptions;
  readonly #mounts: Mounts;
  /** Path of the tree as this process sees it, one character a byte. */
  readonly #base: string;
  readonly #entered = new Folders();
  readonly #leaveOut: ReadonlySet<string>;
  readonly #names = new FolderNames();
  #left = 0;
  #long = 0;

  constructor(options: TreeOptions, mounts: Mounts, base: string) {
    this.#options = options;
    this.#base = base;
    this.#mounts = mounts;
    this.#leaveOut = new Set(options.leaveOut?.map((path) => Buffer.from(path).toString('latin1')));
  }

  /** `pinned` is an O_PATH descriptor of the folder. */
  *folder(pinned: number, folder: Folder): Generator<TreeItem> {
    const { path, stats } = folder;
    this.#entered.add(stats);
    const at = `${OWN_DESCRIPTORS}/${pinned}`;
    const before = Buffer.from(`${at}/`);
    const within = path.length === 0 ? path : Buffer.concat([path, SLASH]);
    const seenWithin = `${this.#base}/${within.toString('latin1')}`;
    try {
      for (const name of this.#names.of(at, stats)) {
        if (this.#options.signal?.aborted) return;
        if (this.given >= this.#options.items) {
          if (++this.#left >= MAX_LEFT) return;
          continue;
        }
        if (within.length + name.length > MAX_PATH_BYTES) {
          if (++this.#long >= MAX_LEFT) return;
          continue;
        }
        const seenAs = seenWithin + name.toString('latin1');
        const mount = this.#mounts.at(seenAs);
        const below = within.length === 0 ? name : Buffer.concat([within, name]);
        if (mount?.blocking) {
          // not even its size is asked for
          this.#skip(below, `a file system of type ${mount.type}, which may never answer`);
          continue;
        }
        const here = Buffer.concat([before, name]);
        const item = this.#look(here, below, folder);
        if (item === undefined) continue;
        this.given++;
        yield item;
        if (item.kind !== 'directory') continue;
        const why = this.#reasonToStayOut(item, mount, seenAs, folder.depth);
        if (why === undefined) yield* this.#enter(here, item, folder);
        else if (why !== 'wanted') this.#skip(below, why);
      }
    } catch (error) {
      this.#failed(error, path);
    }
  }

  /** Undefined where those who mount here are trusted to have a table that holds. */
  #mountOf(pinned: number, { mountId }: Folder): string | undefined {
    const { mountinfo } = this.#options;
    return mountinfo === undefined ? undefined : answeringMount(pinned, mountinfo, mountId);
  }

  #look(at: Buffer, path: Buffer, folder: Folder): TreeItem | undefined {
    try {
      const stats = this.#statsOf(at, folder);
      const kind = treeKind(stats);
      const open = (): OpenFile => openItem(at, stats, (pinned) => this.#mountOf(pinned, folder));
      return kind === 'symlink' ? { path, kind, stats, linkTarget: readLink(at), open } : { path, kind, stats, open };
    } catch (error) {
      this.#failed(error, path);
      return undefined;
    }
  }

  #statsOf(at: Buffer, folder: Folder): BigIntStats {
    if (folder.mountId === undefined) return lstatSync(at, { bigint: true });
    const pinned = openSync(at, O_PATH_NOFOLLOW);
    try {
      this.#mountOf(pinned, folder);
      return fstatSync(pinned, { bigint: true });
    } finally {
      closeSync(pinned);
    }
  }

  *#enter(at: Buffer, { path, stats }: TreeItem, above: Folder): Generator<TreeItem> {
    let pinned: number;
    try {
      pinned = openSync(at, O_PATH_NOFOLLOW);
    } catch (error) {
      this.#failed(error, path);
      return;
    }
    try {
      // another folder may have been put there meanwhile, with a file system on it
      const mountId = this.#mountOf(pinned, above);
      const { dev, ino } = fstatSync(pinned, { bigint: true });
      if (dev === stats.dev && ino === stats.ino)
        yield* this.folder(pinned, { path, stats, depth: above.depth + 1, mountId });
      else this.#failed(Object.assign(new Error('replaced'), { code: 'ENOENT' }), path);
    } catch (error) {
      this.#failed(error, path); // this folder is lost, and none of those beside it
    } finally {
      closeSync(pinned);
    }
  }

  #reasonToStayOut(item: TreeItem, mount: ReturnType<Mounts['at']>, seenAs: string, depth: number): string | undefined {
    const { depth: most = MAX_DEPTH, oneFileSystem, enter } = this.#options;
    if (enter?.(item) === false) return 'wanted';
    if (this.#leaveOut.has(seenAs)) return "the capture's own folder";
    if (mount?.kernel) return `made by the kernel (${mount.type}), and read by other collectors`;
    if (oneFileSystem && item.stats.dev !== this.device) return 'another file system is mounted there';
    if (mount !== undefined && this.#entered.has(item.stats)) return 'a folder that is mounted elsewhere too';
    return depth >= most ? `more than ${most} folders deep` : undefined;
  }

  end(): void {
    const uncounted = 'what is below the folders that were left is not counted';
    this.#truncated(this.#left, `more than ${this.#options.items} names; ${uncounted}`);
    this.#truncated(this.#long, `paths of more than ${MAX_PATH_BYTES} bytes; ${uncounted}`);
  }

  #truncated(left: number, detail: string): void {
    if (left === 0) return;
    const name = `${this.#options.label}: ${left}${left >= MAX_LEFT ? ' or more' : ''} names left`;
    this.#options.gap({ reason: 'truncated', name, detail });
  }

  #skip(path: Buffer, detail: string): void {
    this.#options.gap({ reason: 'skipped', name: this.#name(path), detail });
  }

  #failed(error: unknown, path: Buffer): void {
    this.#options.gap(gapOf(error, this.#name(path)));
  }

  #name(path: Buffer): string {
    return nameBelow(this.#options.label, path);
  }
}

const SLASH = Buffer.from('/');

/** A table of paths below `base` as one of paths as this process sees them. */
function mountsBelow(base: string, mounts: Mounts): Mounts {
  return { at: (path) => mounts.at(path.slice(base.length)) };
}

/** `guard` throws where what stands there may never answer. */
function openItem(at: Buffer, { dev, ino }: BigIntStats, guard: (pinned: number) => unknown): OpenFile {
  const pinned = openSync(at, O_PATH_NOFOLLOW);
  try {
    guard(pinned);
    const now = fstatSync(pinned, { bigint: true });
    if (now.dev !== dev || now.ino !== ino)
      throw new Refusal('vanished', 'replaced by another file while it was looked at');
    return openPinned(pinned);
  } finally {
    closeSync(pinned);
  }
}

/** Gives the event loop its turn every 20 ms of a synchronous walk. */
export async function* paced<T>(items: Iterable<T>): AsyncGenerator<T> {
  let since = performance.now();
  for (const item of items) {
    yield item;
    if (performance.now() - since < 20) continue;
    await turn();
    since = performance.now();
  }
}

/** What an item is called in gaps. */
export function nameBelow(label: string, path: Buffer): string {
  if (path.length === 0) return label;
  return `${label.endsWith('/') ? label : `${label}/`}${path.toString('utf8')}`;
}

/** True for the errors of a name that is not there. */
export function isNotThere(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOENT' || errno === 'ENOTDIR';
}
