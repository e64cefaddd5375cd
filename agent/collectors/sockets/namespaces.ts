// Which network namespaces there are, through which process each can be read, and which no process lives in.
import { type GapReport, gap } from '../../../capture/index.ts';
import type { Host } from '../../host/host.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import { heldDescriptors, linkOf } from './descriptors.ts';
import { findMounts } from './mounts.ts';

export interface Namespace {
  readonly inode: number;
  /** Undefined where the host's own namespace could not be told. */
  readonly isHost: boolean | undefined;
  /** Processes that live in it, any of which shows its /proc/PID/net. */
  readonly members: readonly ProcessSummary[];
}

/** Namespaces with a process in them. The host's is PID 1's, or, where that is denied, the kernel threads'. */
export function namespacesOf(host: Host, processes: readonly ProcessSummary[]): readonly Namespace[] {
  const members = new Map<number, ProcessSummary[]>();
  for (const process of processes) {
    const inode = process.netns ?? netnsOf(host, process.pid);
    if (inode === undefined) continue;
    const known = members.get(inode);
    if (known === undefined) members.set(inode, [process]);
    else known.push(process);
  }
  const hosts = hostNamespace(host, processes);
  return [...members].map(([inode, list]) => ({
    inode,
    isHost: hosts === undefined ? undefined : inode === hosts,
    members: list,
  }));
}

/** The namespace's inode as the process' link says right now. */
export function netnsOf(host: Host, pid: number): number | undefined {
  return netnsInode(linkOf(`${host.proc}/${pid}/ns/net`));
}

export interface Unreachable {
  readonly inode: number;
  /** "mounted at /run/netns/blue (seen by pid 1)", "held open by pid 17 fd 5 (dockerd)". */
  readonly found: readonly string[];
}

/**
 * Namespaces that are pinned by a mount or held open by a descriptor and have no process in them: their tables can
 * only be read from inside, which takes setns(2).
 */
export async function unreachableNamespaces(
  host: Host,
  processes: readonly ProcessSummary[],
  known: ReadonlySet<number>,
): Promise<{ readonly unreachable: readonly Unreachable[]; readonly gaps: readonly GapReport[] }> {
  const found = new Map<number, string[]>();
  const add = (inode: number | undefined, how: string): void => {
    if (inode === undefined || known.has(inode)) return;
    const list = found.get(inode) ?? [];
    if (list.length < 16 && !list.includes(how)) list.push(how);
    found.set(inode, list);
  };
  const pinned = findMounts(host, processes, ({ type }) => type === 'nsfs');
  for (const mount of pinned.mounts)
    add(
      netnsInode(mount.root),
      `mounted at ${Buffer.from(mount.point, 'latin1').toString()} (seen by pid ${mount.pid})`,
    );
  const held = await heldDescriptors(host, processes, 'net:[');
  for (const { process, fd, target } of held.held) {
    add(netnsInode(target), `held open by pid ${process.pid} fd ${fd} (${process.comm})`);
  }
  const unreachable = [...found].map(([inode, how]) => ({ inode, found: how }));
  const gaps = unreachable.map(({ inode, found: how }) =>
    gap(
      'unsupported',
      `netns ${inode}: ${how.join(', ')}`,
      'no process is in it, so /proc does not show its sockets; its rules, routes and links are in firewall.jsonl',
    ),
  );
  for (const pid of held.denied) gaps.push(gap('denied', `pid ${pid} fd`, 'namespaces it holds open are not seen'));
  if (pinned.unread > 0) {
    gaps.push(gap('denied', `mountinfo of ${pinned.unread} processes`, 'namespaces pinned there are not seen'));
  }
  return { unreachable, gaps };
}

function hostNamespace(host: Host, processes: readonly ProcessSummary[]): number | undefined {
  return netnsOf(host, 1) ?? processes.find(({ kernelThread }) => kernelThread === true)?.netns;
}

function netnsInode(link: string | undefined): number | undefined {
  const match = /^net:\[(\d{1,15})\]$/.exec(link ?? '');
  return match === null ? undefined : Number(match[1]);
}
