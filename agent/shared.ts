// What several collectors need and nobody should ask twice: the engines' containers, the suspects' focus, the programs.
import type { Gap } from '../evidence/index.ts';
import { knownContainers } from './containers.ts';
import type { FootprintItem, NodeContext, NodeSettings } from './context.ts';
import { type Focus, focusOn } from './focus.ts';
import type { Host } from './host/host.ts';
import type { ProcessWalk } from './host/walk.ts';
import { programs } from './programs/run.ts';

export interface SharedOptions {
  readonly host: Host;
  readonly settings: NodeSettings;
  readonly walk: ProcessWalk;
  readonly signal: AbortSignal;
  readonly footprint: (item: FootprintItem) => void;
}

export interface Shared extends Pick<NodeContext, 'containers' | 'focus' | 'programs'> {
  /** Engines that did not answer and suspects that are not here; complete when all collectors have ended. */
  gaps(): Promise<readonly Gap[]>;
}

const NO_FOCUS: Focus = { containers: [], pids: new Set(), netns: new Set(), gaps: [] };

export function shared({ host, settings, walk, signal, footprint }: SharedOptions): Shared {
  let known: ReturnType<NodeContext['containers']> | undefined;
  let focused: Promise<Focus> | undefined;
  const containers: NodeContext['containers'] = () => {
    known ??= knownContainers({ host, ...settings, signal });
    return known;
  };
  const find = async (): Promise<Focus> => {
    if (settings.suspects.length === 0) return NO_FOCUS;
    return focusOn(settings.suspects, await walk.index(), (await containers()).containers);
  };
  const focus: NodeContext['focus'] = () => {
    focused ??= find();
    return focused;
  };
  return {
    containers,
    focus,
    programs: programs(footprint),
    gaps: async () => [...(await focus()).gaps, ...((await known)?.gaps ?? [])],
  };
}
