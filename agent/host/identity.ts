// Which container and pod a process is in, from the text of /proc/PID/cgroup (cgroups(7)). Pure; never throws.

export interface ContainerIdentity {
  /** 64 hex digits, the innermost container's. Absent for what is in a pod's cgroup beside its containers (conmon). */
  readonly containerId?: string;
  readonly runtime?: 'docker' | 'containerd' | 'cri-o' | 'podman';
  /** As the API server writes it, with dashes; 32 hex digits without for static pods. */
  readonly podUid?: string;
  /** Containers around it, outermost first: a kind node, Docker in Docker. */
  readonly within?: readonly string[];
}

const MAX_TEXT = 65_536;
const MAX_LINES = 256;
const MAX_SEGMENTS = 64;

const CONTAINER = /^(?:(docker|cri-containerd|containerd|nerdctl|crio|libpod)-)?([0-9a-f]{64})(?:\.scope)?$/;
const POD_FOLDER = /^pod([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32})$/;
const POD_SLICE =
  /^(?:[a-z0-9-]+-)?pod([0-9a-f]{8}_[0-9a-f]{4}_[0-9a-f]{4}_[0-9a-f]{4}_[0-9a-f]{12}|[0-9a-f]{32})\.slice$/;

const RUNTIMES: Readonly<Record<string, ContainerIdentity['runtime']>> = {
  docker: 'docker',
  'cri-containerd': 'containerd',
  containerd: 'containerd',
  nerdctl: 'containerd',
  crio: 'cri-o',
  libpod: 'podman',
};

/** Folder a bare ID stands in, where the folder tells whose it is. */
const PARENTS: Readonly<Record<string, ContainerIdentity['runtime']>> = {
  docker: 'docker',
  moby: 'docker',
  'k8s.io': 'containerd',
};

/**
 * The identity that the most telling line shows: with cgroup v1 a container may be in its own cgroup in some
 * hierarchies and in the root of others. Undefined for a process that is in no container.
 */
export function containerIdentity(cgroupText: string): ContainerIdentity | undefined {
  const paths = new Set<string>();
  for (const line of cgroupText.slice(0, MAX_TEXT).split('\n', MAX_LINES)) {
    // hierarchy-ID:controller-list:path, and the path may contain colons
    const path = /^\d+:[^:]*:(\/.*)$/.exec(line)?.[1];
    if (path !== undefined) paths.add(path);
  }
  let best: ContainerIdentity | undefined;
  for (const path of paths) {
    const identity = identityOfPath(path);
    if (identity !== undefined && (best === undefined || weight(identity) > weight(best))) best = identity;
  }
  return best;
}

/**
 * A cgroup's path up to the folder that is named for the container. Undefined where it is not in it, and where the path
 * leads out of the cgroup namespace we are in ("/.."): where that is cannot be told.
 */
export function containerCgroup(path: string, containerId: string): string | undefined {
  const segments = path.split('/');
  const index = segments.findIndex((segment) => segment.includes(containerId));
  return index === -1 || segments.includes('..') ? undefined : segments.slice(0, index + 1).join('/');
}

function weight(identity: ContainerIdentity): number {
  return (identity.within?.length ?? 0) * 4 + (identity.containerId ? 2 : 0) + (identity.podUid ? 1 : 0);
}

/** "/../.." at the front is how a cgroup outside the reader's cgroup namespace looks: it names nothing. */
function identityOfPath(path: string): ContainerIdentity | undefined {
  const within: string[] = [];
  let podUid: string | undefined;
  let container: { readonly id: string; readonly runtime: ContainerIdentity['runtime'] } | undefined;
  let parent = '';
  for (const segment of path.split('/', MAX_SEGMENTS).flatMap(segmentsOf)) {
    const pod = podOf(segment);
    const id = CONTAINER.exec(segment)?.[2];
    if (pod !== undefined || id !== undefined) {
      if (container !== undefined) within.push(container.id);
      container = id === undefined ? undefined : { id, runtime: runtimeOf(segment, parent) };
    }
    podUid = pod ?? podUid;
    parent = segment;
  }
  if (container === undefined && podUid === undefined) return undefined;
  return {
    ...(container === undefined ? {} : { containerId: container.id }),
    ...(container?.runtime === undefined ? {} : { runtime: container.runtime }),
    ...(podUid === undefined ? {} : { podUid }),
    ...(within.length === 0 ? {} : { within }),
  };
}

/**
 * "kubepods-burstable-podX.slice:cri-containerd:ID" is what a runtime on the cgroupfs driver makes of a path meant for
 * systemd (slice:prefix:name): taken apart into what systemd would have made of it.
 */
function segmentsOf(segment: string): readonly string[] {
  const [slice, prefix, name, ...rest] = segment.split(':', 4);
  if (slice === undefined || prefix === undefined || name === undefined || rest.length > 0) return [segment];
  return [slice, `${prefix}-${name}.scope`];
}

function podOf(segment: string): string | undefined {
  return POD_FOLDER.exec(segment)?.[1] ?? POD_SLICE.exec(segment)?.[1]?.replaceAll('_', '-');
}

/** A bare ID in a pod's folder is containerd's (or dockershim's, which ended with Kubernetes 1.24). */
function runtimeOf(segment: string, parent: string): ContainerIdentity['runtime'] {
  const prefix = CONTAINER.exec(segment)?.[1];
  if (prefix !== undefined) return RUNTIMES[prefix];
  return podOf(parent) === undefined ? PARENTS[parent] : 'containerd';
}
