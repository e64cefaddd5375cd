// Which file systems in memory there are, and by which ways each can be reached: own mounts first, then other namespaces.
import { readlinkSync } from 'node:fs';
import type { NodeContext } from '../../context.ts';
import { DENIED, gapOf } from '../../host/errno.ts';
import type { MountLine } from '../../host/mountinfo.ts';
import { BLOCKING } from '../../host/mounts.ts';
import { paced } from '../../host/tree.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import { below, mountTable } from '../files/mount-table.ts';

/** devtmpfs holds device nodes, and what somebody hides among them. */
const IN_MEMORY = /^(?:tmpfs|ramfs|devtmpfs)$/;
/** Processes of one mount namespace that are asked; some deny it, PID 1 above all, or end meanwhile. */
const MAX_TRIES = 5;
/** Mount namespaces looked into; a node has one for each container. */
const MAX_NAMESPACES = 5000;
/** Folders of one file system that are mounted each by itself while the whole is mounted nowhere. */
const MAX_PARTS = 1000;

/** One way to a folder of a superblock. Paths one character a byte. */
export interface Way {
  /** What the mount point is below, as this process sees it: "/", "/proc/17/root". */
  readonly base: string;
  /** Seen from `base`. */
  readonly point: string;
  /** As the host, or the namespace's processes, name it. */
  readonly path: string;
  /** Inode of the mount namespace; absent for our own. */
  readonly mntns?: number;
  readonly process?: ProcessSummary;
  /** Why this way is not gone, where it is not. */
  readonly closed?: string;
}

export interface Superblock {
  /** "MAJOR:MINOR", the same in all namespaces. */
  readonly device: string;
  /** Folder of the file system that the ways lead to: "/" for all of it. */
  readonly root: string;
  readonly type: string;
  readonly ways: readonly Way[];
}

export async function superblocks(context: NodeContext): Promise<readonly Superblock[]> {
  const all = new Map<string, Superblock & { readonly ways: Way[] }>();
  const add = (mount: MountLine, way: Way): void => {
    const key = `${mount.device} ${mount.root}`;
    const known = all.get(key) ?? { device: mount.device, root: mount.root, type: mount.type, ways: [] };
    known.ways.push(way);
    all.set(key, known);
  };
  const own = mountTable('/proc/self/mountinfo');
  const outside = new Set<string>();
  for (const mount of inMemory(own)) {
    const path = hostPathOf(mount.point, context.host.root);
    const isOwn = context.ownFolders.some((folder) => below(mount.point, latin1(folder)) !== undefined);
    if (isOwn || path === undefined) outside.add(mount.device);
    else add(mount, { base: '/', point: mount.point, path });
  }
  for await (const { process, table } of paced(await namespaces(context))) {
    const base = `${context.host.proc}/${process.pid}/root`;
    for (const mount of inMemory(table)) {
      if (outside.has(mount.device)) continue;
      const closed = blockedBy(mount, table);
      add(mount, {
        base,
        point: mount.point,
        path: mount.point,
        process,
        ...(process.mntns === undefined ? {} : { mntns: process.mntns }),
        ...(closed === undefined ? {} : { closed }),
      });
    }
  }
  const { pids } = await context.focus();
  return largest(all.values()).sort((a, b) => rank(a, pids) - rank(b, pids));
}

function inMemory(table: readonly MountLine[]): readonly MountLine[] {
  return table.filter(({ type }) => IN_MEMORY.test(type));
}

/** Undefined for what is our own container's, where the host is mounted in one. */
function hostPathOf(point: string, root: string): string | undefined {
  const rest = below(point, latin1(root));
  return rest === undefined ? undefined : `/${rest}`;
}

/** Each mount namespace but our own, with the first of its processes that lets us look. */
async function namespaces(
  context: NodeContext,
): Promise<readonly { readonly process: ProcessSummary; readonly table: readonly MountLine[] }[]> {
  const own = ownNamespace();
  const groups = new Map<number, ProcessSummary[]>();
  let denied = 0;
  for (const process of await context.walk.index()) {
    if (process.kernelThread === true || process.mntns === own) continue;
    if (process.mntns === undefined) {
      denied++;
      continue;
    }
    const known = groups.get(process.mntns);
    if (known === undefined) groups.set(process.mntns, [process]);
    else known.push(process);
  }
  if (denied > 0) context.gap({ reason: 'denied', name: `mount namespaces of ${denied} processes`, detail: DENIED });
  const found: { process: ProcessSummary; table: readonly MountLine[] }[] = [];
  for await (const [mntns, processes] of paced([...groups].slice(0, MAX_NAMESPACES))) {
    let failure: unknown;
    for (const process of processes.slice(0, MAX_TRIES)) {
      try {
        found.push({ process, table: mountTable(`${context.host.proc}/${process.pid}/mountinfo`) });
        failure = undefined;
        break;
      } catch (error) {
        failure = error;
      }
    }
    if (failure !== undefined) context.gap(gapOf(failure, `mount namespace ${mntns}`));
  }
  const left = groups.size - MAX_NAMESPACES;
  const detail = `more than ${MAX_NAMESPACES} mount namespaces`;
  if (left > 0) context.gap({ reason: 'truncated', name: `${left} mount namespaces left`, detail });
  return found;
}

function ownNamespace(): number | undefined {
  const inode = /\[(\d+)\]/.exec(readlinkSync('/proc/self/ns/mnt'))?.[1];
  return inode === undefined ? undefined : Number(inode);
}

/** The way to a mount leads through all that is mounted above it; what is mounted in it the walk itself leaves out. */
function blockedBy({ point }: MountLine, table: readonly MountLine[]): string | undefined {
  const one = table.find((other) => BLOCKING.test(other.type) && below(point, other.point) !== undefined);
  return one === undefined ? undefined : neverAnswers(one.type);
}

export function neverAnswers(type: string): string {
  return `a file system of type ${type}, which may never answer, is on the way`;
}

/** Without the parts of a file system that are reached as a whole, or in a larger part, too. */
function largest(blocks: Iterable<Superblock>): Superblock[] {
  const kept = new Map<string, Superblock[]>();
  for (const block of [...blocks].sort((a, b) => a.root.length - b.root.length)) {
    const same = kept.get(block.device) ?? [];
    if (same.length >= MAX_PARTS || same.some(({ root }) => below(block.root, root) !== undefined)) continue;
    kept.set(block.device, [...same, block]);
  }
  return [...kept.values()].flat();
}

/** What is asked for and what is lost first comes first: suspects', shared memory, /run, volumes, then containers' own. */
function rank({ ways }: Superblock, suspects: ReadonlySet<number>): number {
  const [way] = ways;
  if (way === undefined) return 9;
  if (way.process !== undefined && suspects.has(way.process.pid)) return -1;
  const order = ['/dev/shm', '/run', '/tmp', '/var/tmp'].findIndex((path) => below(way.path, path) !== undefined);
  const place = order < 0 ? 4 : order;
  return place + (way.mntns === undefined ? 0 : 0.5);
}

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}
