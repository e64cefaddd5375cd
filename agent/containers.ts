// The containers of this node, whichever engine runs them: what layers, memory and the suspects' focus are about.
import type { Gap } from '../evidence/index.ts';
import type { Host } from './host/host.ts';
import { containerdContainers } from './runtime/containerd-containers.ts';
import { crioContainers } from './runtime/cri-o-containers.ts';
import { dockerContainers } from './runtime/docker-containers.ts';

export interface KnownContainer {
  /** As the engine writes it; 64 hex digits but for what was started by hand in a containerd namespace. */
  readonly id: string;
  readonly engine: 'docker' | 'containerd' | 'cri-o' | 'podman';
  /** containerd's namespace: "k8s.io", "moby". */
  readonly namespace?: string;
  readonly name?: string;
  readonly image?: string;
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid?: string };
  readonly running: boolean;
  /** Its first process, in the host's PID namespace. */
  readonly pid?: number;
  /** All of its processes as the engine counts them, where its id is not one that a cgroup's name can be told by. */
  readonly pids?: readonly number[];
  /** Storage driver, where the engine names it: "overlay2", "vfs". */
  readonly driver?: string;
  /**
   * Overlay folders as host paths, the topmost lower one first, and whether its marks are user attributes (the mount option
   * of rootless engines); absent where its root is no overlay.
   */
  readonly layer?: { readonly upper: string; readonly lower: readonly string[]; readonly userxattr?: boolean };
}

export interface ContainerSources {
  readonly host: Host;
  readonly dockerSockets: readonly string[];
  readonly criSockets: readonly string[];
  readonly containerdSockets: readonly string[];
  readonly signal: AbortSignal;
}

export interface KnownContainers {
  readonly containers: readonly KnownContainer[];
  /** Engines that are there and did not answer. */
  readonly gaps: readonly Gap[];
}

/** Asks every engine at once; one that is absent has no containers and is no gap. Never rejects. */
export async function knownContainers(sources: ContainerSources): Promise<KnownContainers> {
  const answers = await Promise.all([
    dockerContainers(sources),
    containerdContainers(sources),
    crioContainers(sources),
  ]);
  const containers = answers.flatMap((answer) => answer.containers);
  // Docker's containers stand in a containerd's namespace too, where less is said of them
  const docker = new Set(containers.filter(({ engine }) => engine === 'docker').map(({ id }) => id));
  const again = ({ engine, namespace, id }: KnownContainer): boolean =>
    engine === 'containerd' && namespace === DOCKER_NAMESPACE && docker.has(id);
  return {
    containers: containers.filter((container) => !again(container)),
    gaps: answers.flatMap(({ gaps }) => gaps),
  };
}

/** The namespace that dockerd uses in containerd. */
const DOCKER_NAMESPACE = 'moby';
