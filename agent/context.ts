// What a node collector is given beside the engine's context: the host, its processes, the engines' sockets.
import type { CollectContext } from '../capture/index.ts';
import type { Host } from './host/host.ts';
import type { ProcessWalk } from './host/walk.ts';

/** What a responder pointed at. */
export type Suspect =
  | { readonly kind: 'pod'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'container'; readonly id: string }
  | { readonly kind: 'pid'; readonly pid: number };

export interface NodeContext extends CollectContext {
  readonly host: Host;
  readonly profile: 'quick' | 'standard' | 'full';
  readonly suspects: readonly Suspect[];
  /** Candidate sockets of the Docker engine, tried in order; host paths, already below the root. */
  readonly dockerSockets: readonly string[];
  /** One walk over /proc, shared by all collectors of this session. */
  readonly walk: ProcessWalk;
  /** Records what the capture itself did to the host: a program run, a file opened with atime kept, a connection. */
  footprint(item: FootprintItem): void;
}

export interface FootprintItem {
  readonly kind: 'process' | 'program' | 'connection' | 'note';
  readonly name: string;
  readonly detail?: string;
}
