// Whose memory is read: the suspects' and, in profile full, that of all processes in containers; never our own.
import type { NodeContext } from '../../context.ts';
import type { ProcessSummary } from '../../host/walk.ts';

/** Processes that are read together: those of one container, or one that is in none. */
export interface Group {
  readonly containerId?: string;
  /** A suspect is among them: only then is anything frozen for them. */
  readonly suspect: boolean;
  readonly processes: readonly ProcessSummary[];
}

/** Suspects first, then as the walk saw them. */
export async function chooseGroups(context: NodeContext): Promise<readonly Group[]> {
  const { pids } = await context.focus();
  const all = context.profile === 'full';
  if (pids.size === 0 && !all) return [];
  const chosen = (await context.walk.index()).filter(
    ({ pid, container }) => pid !== process.pid && (pids.has(pid) || (all && container !== undefined)),
  );
  const groups = new Map<string, ProcessSummary[]>();
  for (const one of chosen.toSorted((a, b) => Number(pids.has(b.pid)) - Number(pids.has(a.pid)))) {
    const key = one.container?.containerId ?? `pid ${one.pid}`;
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [one]);
    else known.push(one);
  }
  return [...groups.values()].map((processes) => {
    const containerId = processes[0]?.container?.containerId;
    const suspect = processes.some(({ pid }) => pids.has(pid));
    return { ...(containerId === undefined ? {} : { containerId }), suspect, processes };
  });
}
