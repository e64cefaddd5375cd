// What a responder pointed at, as processes, containers and network namespaces of this node.
import type { Gap } from '../evidence/index.ts';
import type { KnownContainer } from './containers.ts';
import type { Suspect } from './context.ts';
import type { ProcessSummary } from './host/walk.ts';

export interface Focus {
  /** Suspect containers, those of suspect processes included. */
  readonly containers: readonly KnownContainer[];
  /** Suspect processes, and all that run in suspect containers. */
  readonly pids: ReadonlySet<number>;
  /** Network namespaces these are in, by inode. */
  readonly netns: ReadonlySet<number>;
  /** Suspects that are not here. */
  readonly gaps: readonly Gap[];
}

export function focusOn(
  suspects: readonly Suspect[],
  processes: readonly ProcessSummary[],
  known: readonly KnownContainer[],
): Focus {
  const pids = new Set<number>();
  const containers = new Set<KnownContainer>();
  const gaps: Gap[] = [];
  for (const suspect of suspects) {
    const before = pids.size + containers.size;
    for (const container of known) if (isMeant(suspect, container)) containers.add(container);
    for (const process of processes) if (isSuspect(suspect, process)) pids.add(process.pid);
    if (pids.size + containers.size === before && !isCovered(suspect, pids, containers)) gaps.push(missing(suspect));
  }
  const homes = new Map(processes.map((process) => [process.pid, known.find((one) => contains(one, process))]));
  for (const pid of pids) {
    const home = homes.get(pid);
    if (home !== undefined) containers.add(home);
  }
  for (const [pid, home] of homes) if (home !== undefined && containers.has(home)) pids.add(pid);
  const netns = new Set(
    processes.flatMap(({ pid, netns: inode }) => (pids.has(pid) && inode !== undefined ? [inode] : [])),
  );
  return { containers: [...containers], pids, netns, gaps };
}

/** Whether the process is in the container, by its cgroup. */
export function contains(
  { id, pid: first, pids }: KnownContainer,
  { container: identity, pid }: ProcessSummary,
): boolean {
  if (pid === first || pids?.includes(pid) === true) return true;
  return identity?.containerId !== undefined && identity.containerId === id;
}

function isMeant(suspect: Suspect, { id, name, pod }: KnownContainer): boolean {
  switch (suspect.kind) {
    case 'container':
      return id.startsWith(suspect.id) || name === suspect.id;
    case 'pod':
      return pod?.namespace === suspect.namespace && pod.name === suspect.name;
    default:
      return false;
  }
}

/** A container that no engine knows is still seen by its processes. */
function isSuspect(suspect: Suspect, { pid, container }: ProcessSummary): boolean {
  if (suspect.kind === 'pid') return pid === suspect.pid;
  return suspect.kind === 'container' && container?.containerId?.startsWith(suspect.id) === true;
}

/** Named twice: by two words for the same thing. */
function isCovered(suspect: Suspect, pids: ReadonlySet<number>, containers: ReadonlySet<KnownContainer>): boolean {
  return suspect.kind === 'pid'
    ? pids.has(suspect.pid)
    : [...containers].some((container) => isMeant(suspect, container));
}

function missing(suspect: Suspect): Gap {
  switch (suspect.kind) {
    case 'pid':
      return {
        reason: 'vanished',
        name: `suspect pid:${suspect.pid}`,
        detail: 'no process has this PID: it has ended, or was mistyped',
      };
    case 'container':
      return {
        reason: 'absent',
        name: `suspect container:${suspect.id}`,
        detail: 'no container and no process here has this id or name: it was removed, or mistyped',
      };
    default:
      return {
        reason: 'absent',
        name: `suspect pod:${suspect.namespace}/${suspect.name}`,
        detail: 'no container engine here knows a pod of this name: it was removed, runs elsewhere, or was mistyped',
      };
  }
}
