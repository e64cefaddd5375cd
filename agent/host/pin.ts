// Goes to a path below a root by raw names, looking at each mount before it is touched; links are followed inside the
// root only, as RESOLVE_IN_ROOT of openat2(2) does.
import { type BigIntStats, closeSync, constants, fstatSync, openSync } from 'node:fs';
import { Refusal } from './errno.ts';
import { answeringMount } from './mount-of.ts';
import type { Mounts } from './mounts.ts';
import { childPath, O_PATH_NOFOLLOW, readLink } from './open.ts';

/** As many as the kernel follows, see path_resolution(7). */
const MAX_LINKS = 40;
/** Folders on the way; each is a descriptor while the way is gone. */
const MAX_DEPTH = 128;

/** A folder that paths are below, and what is mounted where in it. */
export interface Root {
  /** As this process sees it: "/", "/host". */
  readonly path: string;
  readonly mounts: Mounts;
  /** What the kernel makes may be entered too; else a link could lead a reader of files to /proc/kmsg. */
  readonly withKernel?: true;
  /**
   * The mount table of those whose namespace it is, where they may be hostile: what they mount after `mounts` was read
   * is looked up there, before anything is asked of it.
   */
  readonly mountinfo?: string;
}

export type TreeKind = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'character-device' | 'block-device';

/** What stands at a path. Whoever gets it closes `fd`. */
export interface Pinned {
  /** O_PATH descriptor; of the link itself where the last name is one that was not followed. */
  readonly fd: number;
  /** The way taken, below the root and without a link, no "/" first. */
  readonly path: Buffer;
  readonly kind: TreeKind;
  readonly stats: BigIntStats;
  /** Raw target of a symbolic link. */
  readonly linkTarget?: Buffer;
  /** The mount it is on, which answers: where the root has a `mountinfo`. */
  readonly mountId: string | undefined;
}

/**
 * Follows all links, all but one at the end (`on-the-way`), or none. Throws the system's errors, and a Refusal where the
 * way leads into a file system that may never answer or that the kernel makes.
 */
export function pinAt(root: Root, path: Buffer, links: 'all' | 'on-the-way' | 'none'): Pinned {
  const waiting = namesOf(path).reverse();
  // the root first, then one folder for each name that was gone
  const way: Step[] = [{ fd: openSync(root.path, O_PATH_NOFOLLOW & ~constants.O_NOFOLLOW), name: Buffer.alloc(0) }];
  const guard = (step: Step, above?: Step): void => {
    if (root.mountinfo !== undefined) step.mountId = answeringMount(step.fd, root.mountinfo, above?.mountId);
  };
  let followed = 0;
  let linkTarget: Buffer | undefined;
  try {
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      const last = waiting.length === 0;
      if (name.equals(DOTS)) {
        if (way.length > 1) closeSync(way.pop()?.fd ?? -1);
        continue;
      }
      if (way.length > MAX_DEPTH) throw new Refusal('skipped', `more than ${MAX_DEPTH} folders deep`);
      refuseMount(root, [...way.map((step) => step.name), name]);
      const above = way.at(-1);
      const at = childOf(above?.fd ?? -1, name);
      const fd = openSync(at, O_PATH_NOFOLLOW);
      const step: Step = { fd, name };
      way.push(step);
      guard(step, above);
      if (!fstatSync(fd).isSymbolicLink()) continue;
      // by name once more: what is put there meanwhile is read as a link or not at all
      linkTarget = readLink(at);
      if (links === 'none' || (last && links === 'on-the-way')) continue;
      if (++followed > MAX_LINKS) throw Object.assign(new Error('too many links'), { code: 'ELOOP' });
      closeSync(way.pop()?.fd ?? -1);
      if (linkTarget[0] === 0x2f) for (const { fd: left } of way.splice(1)) closeSync(left);
      waiting.push(...namesOf(linkTarget).reverse());
    }
    const end: Step = way.at(-1) ?? { fd: -1, name: Buffer.alloc(0) };
    // the root itself: what blocks may be gone through, as long as nothing is asked of it
    if (way.length === 1) guard(end);
    const { fd, mountId } = end;
    const stats = fstatSync(fd, { bigint: true });
    const path = joined(way.map((step) => step.name));
    const pinned: Pinned = { fd, path, kind: treeKind(stats), stats, mountId };
    way.pop();
    return pinned.kind === 'symlink' && linkTarget !== undefined ? { ...pinned, linkTarget } : pinned;
  } finally {
    for (const { fd } of way) closeSync(fd);
  }
}

interface Step {
  readonly fd: number;
  readonly name: Buffer;
  /** Of a mount that answers, see `answeringMount`; it holds while `fd` is open. */
  mountId?: string | undefined;
}

const DOTS = Buffer.from('..');
const SLASH = Buffer.from('/');

function namesOf(path: Buffer): Buffer[] {
  const names = path.toString('latin1').split('/');
  return names.filter((name) => name !== '' && name !== '.').map((name) => Buffer.from(name, 'latin1'));
}

function childOf(fd: number, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(childPath(fd, '')), name]);
}

function joined(names: readonly Buffer[]): Buffer {
  return Buffer.concat(names.flatMap((name, index) => (index < 2 ? [name] : [SLASH, name])));
}

function refuseMount(root: Root, names: readonly Buffer[]): void {
  const base = root.path === '/' ? '' : Buffer.from(root.path).toString('latin1');
  const mount = root.mounts.at(`${base}/${joined(names).toString('latin1')}`);
  if (mount?.blocking) throw new Refusal('skipped', `a file system of type ${mount.type}, which may never answer`);
  if (mount?.kernel && !root.withKernel)
    throw new Refusal('skipped', `made by the kernel (${mount.type}), and read by other collectors`);
}

export function treeKind(stats: BigIntStats): TreeKind {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isSocket()) return 'socket';
  return stats.isBlockDevice() ? 'block-device' : 'character-device';
}
