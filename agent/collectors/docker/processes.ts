// Which processes of the node are in which Docker container, by the walk over /proc.
import { gap } from '../../../capture/index.ts';
import { describeError, unlessAborted } from '../../../evidence/index.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import type { Session } from './session.ts';

const WALK_MILLISECONDS = 5000;

/** The processes in one container, those of containers inside it included. */
export interface Occupants {
  readonly processes: ProcessSummary[];
  /** Their cgroup is one that a Docker engine makes by default. */
  docker: boolean;
  /** Containers around it, outermost first. */
  within: readonly string[];
}

/** By container id; undefined, with a gap, where the walk over /proc is not done in time. */
export async function processesByContainer(session: Session): Promise<ReadonlyMap<string, Occupants> | undefined> {
  const late = AbortSignal.any([session.signal, AbortSignal.timeout(WALK_MILLISECONDS)]);
  const name = "containers' processes";
  let summaries: readonly ProcessSummary[] | undefined;
  try {
    summaries = await unlessAborted(session.context.walk.index(), late, () => undefined);
  } catch (error) {
    session.gaps.push(gap('failed', name, `the walk over /proc failed: ${describeError(error)}`));
    return undefined;
  }
  if (summaries === undefined) {
    session.gaps.push(gap('timeout', name, 'the walk over /proc was not done in time to join them'));
    return undefined;
  }
  return join(summaries);
}

function join(summaries: readonly ProcessSummary[]): ReadonlyMap<string, Occupants> {
  const byContainer = new Map<string, Occupants>();
  const occupants = (id: string): Occupants => {
    const known = byContainer.get(id) ?? { processes: [], docker: false, within: [] };
    byContainer.set(id, known);
    return known;
  };
  for (const summary of summaries) {
    const { containerId, runtime, within = [] } = summary.container ?? {};
    for (const outer of within) occupants(outer).processes.push(summary);
    if (containerId === undefined) continue;
    const own = occupants(containerId);
    own.processes.push(summary);
    own.docker ||= runtime === 'docker';
    own.within = within;
  }
  return byContainer;
}
