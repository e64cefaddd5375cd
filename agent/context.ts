// What a node collector is given beside the engine's context: the host, its processes, the engines' sockets.
import type { CollectContext } from '../capture/index.ts';
import type { KnownContainers } from './containers.ts';
import type { Focus } from './focus.ts';
import type { Host } from './host/host.ts';
import type { ProcessWalk } from './host/walk.ts';
import type { Programs } from './programs/run.ts';

/** What a responder pointed at. */
export type Suspect =
  | { readonly kind: 'pod'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'container'; readonly id: string }
  | { readonly kind: 'pid'; readonly pid: number };

/** How a capture is meant, beside which collectors it runs. */
export interface NodeSettings {
  readonly profile: 'quick' | 'standard' | 'full';
  readonly suspects: readonly Suspect[];
  /** Candidate sockets of the engines, tried in order; host paths, already below the root. */
  readonly dockerSockets: readonly string[];
  readonly criSockets: readonly string[];
  readonly containerdSockets: readonly string[];
  /** What a person writes who knows better where one is. */
  readonly namedBy: (engine: 'docker' | 'cri' | 'containerd') => string;
  /** Seconds for which flows and packets are watched. */
  readonly watch: number;
  /** Whether processes are frozen while their memory is read. */
  readonly freeze: boolean;
  /** Block devices to be imaged, as this process sees them; empty: the node's disks, as far as that makes sense. */
  readonly devices: readonly string[];
  /** Folders of the capture itself, the store above all: left out of every tree. As this process sees them. */
  readonly ownFolders: readonly string[];
}

export interface NodeContext extends CollectContext, NodeSettings {
  readonly host: Host;
  /** One walk over /proc, shared by all collectors of this session. */
  readonly walk: ProcessWalk;
  /** Every engine's containers, asked for once; what could not be asked is declared for all collectors together. */
  containers(): Promise<KnownContainers>;
  /** The suspects as processes, containers and namespaces; empty where nothing was pointed at. */
  focus(): Promise<Focus>;
  /** The only way to run a program. */
  readonly programs: Programs;
  /** A thread waits for good in a read: the program cannot end as usual. */
  leftBehind(): void;
  /** Records what the capture itself did to the host: a program run, a file opened with atime kept, a connection. */
  footprint(item: FootprintItem): void;
}

export interface FootprintItem {
  readonly kind: 'process' | 'program' | 'connection' | 'write' | 'note';
  readonly name: string;
  readonly detail?: string;
}
