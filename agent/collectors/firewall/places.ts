// The network namespaces and a way into each: through a process in it, or through what keeps it without one.
import { type GapReport, gap } from '../../../capture/index.ts';
import type { Host } from '../../host/host.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import { pinNetns } from '../../programs/netns.ts';
import { heldDescriptors } from '../sockets/descriptors.ts';
import { findMounts } from '../sockets/mounts.ts';
import { type Namespace, namespacesOf } from '../sockets/namespaces.ts';

/** Paths that may lead into it, tried in order; whether they still do is seen when one is taken. */
export interface NamespacePlace extends Namespace {
  readonly ways: () => Iterable<string>;
}

/** Kept open or mounted, with no process in them: a few ways are enough. */
const MAX_WAYS = 16;

/**
 * Suspects' namespaces first, then the host's, then all others; those beyond `bound` are named in a gap. A namespace
 * that is only mounted, and not below the host's own /run, has no way: it may lead through a file system that blocks.
 */
export async function namespacePlaces(
  host: Host,
  processes: readonly ProcessSummary[],
  suspects: ReadonlySet<number>,
  bound: number,
): Promise<{ readonly places: readonly NamespacePlace[]; readonly gaps: readonly GapReport[] }> {
  const lived = namespacesOf(host, processes).map((namespace) => ({
    ...namespace,
    ways: () => namespace.members.values().map(({ pid }) => `${host.proc}/${pid}/ns/net`),
  }));
  const empty = await emptyNamespaces(host, processes, new Set(lived.map(({ inode }) => inode)));
  const rank = ({ inode, isHost }: Namespace): number => (suspects.has(inode) ? 0 : isHost === true ? 1 : 2);
  const all = [...lived, ...empty].toSorted((a, b) => rank(a) - rank(b));
  const gaps = all
    .slice(bound)
    .map(({ inode }) => gap('truncated', `netns ${inode}`, `more than ${bound} network namespaces: not asked`));
  return { places: all.slice(0, bound), gaps };
}

/** A descriptor that stands for the namespace and keeps it until closed, or why there is none. */
export function pinPlace({ inode, ways }: NamespacePlace, name: string): number | GapReport {
  let tried = 0;
  for (const path of ways()) {
    const fd = pinNetns({ path, inode });
    if (fd !== undefined) return fd;
    tried++;
  }
  return tried === 0
    ? gap('skipped', name, "kept only by a mount that is not below the host's /run: the way there may block")
    : gap('vanished', name, 'nothing leads into the network namespace any more, or it may not be entered');
}

async function emptyNamespaces(
  host: Host,
  processes: readonly ProcessSummary[],
  known: ReadonlySet<number>,
): Promise<readonly NamespacePlace[]> {
  const ways = new Map<number, string[]>();
  const add = (target: string, way: string | undefined): void => {
    const inode = Number(/^net:\[(\d{1,15})\]$/.exec(target)?.[1]);
    if (Number.isNaN(inode) || known.has(inode)) return;
    const list = ways.get(inode) ?? [];
    if (way !== undefined && list.length < MAX_WAYS && !list.includes(way)) list.push(way);
    ways.set(inode, list);
  };
  const { held } = await heldDescriptors(host, processes, 'net:[');
  for (const { process, fd, target } of held) add(target, `${host.proc}/${process.pid}/fd/${fd}`);
  for (const { root, point, pid } of findMounts(host, processes, ({ type }) => type === 'nsfs').mounts) {
    add(root, pid === 1 && /^\/run\/[\x21-\x7e]+$/.test(point) ? host.path(point) : undefined);
  }
  return [...ways].map(([inode, list]) => ({ inode, isHost: false, members: [], ways: () => list }));
}
