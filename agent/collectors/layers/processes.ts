// Which files of a container its processes run or have mapped as code, by the path they see.
import type { KnownContainer } from '../../containers.ts';
import { contains } from '../../focus.ts';
import type { ProcessSummary } from '../../host/walk.ts';

/** Who uses one file. */
export interface Executed {
  /** PIDs in the host's namespace whose program it is. */
  readonly pids: ReadonlySet<number>;
  /** PIDs that have it mapped executable, without being their program: a library. */
  readonly mappedBy: ReadonlySet<number>;
}

/** By path inside the container, one character a byte, without the first "/". */
export function executedIn(
  container: KnownContainer,
  processes: readonly ProcessSummary[],
): ReadonlyMap<string, Executed> {
  const found = new Map<string, { readonly pids: Set<number>; readonly mappedBy: Set<number> }>();
  const at = (path: string): { readonly pids: Set<number>; readonly mappedBy: Set<number> } => {
    const key = Buffer.from(path.replace(/^\/+/, '')).toString('latin1');
    const known = found.get(key) ?? { pids: new Set<number>(), mappedBy: new Set<number>() };
    found.set(key, known);
    return known;
  };
  for (const process of processes) {
    if (!contains(container, process)) continue;
    if (process.exe !== undefined) at(process.exe).pids.add(process.pid);
    for (const { target, executable } of process.held ?? [])
      if (executable && target !== process.exe) at(target).mappedBy.add(process.pid);
  }
  return found;
}
