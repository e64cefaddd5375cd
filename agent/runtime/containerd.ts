// containerd's own API: its namespaces and what is in each, also what the CRI does not show.
import { stat } from 'node:fs/promises';
import { type AskOptions, type Grpc, openGrpc } from './grpc.ts';
import { jsonOf } from './grpc-json.ts';
import { CONTAINERD } from './proto/containerd.ts';
import type { Message } from './proto/notation.ts';

export type Containerd = Grpc<typeof CONTAINERD>;
export type ContainerdMessage<Name extends keyof typeof CONTAINERD.messages> = Message<typeof CONTAINERD, Name>;

/** Full names of its services (github.com/containerd/containerd/api). */
export const SERVICES = {
  version: 'containerd.services.version.v1.Version',
  introspection: 'containerd.services.introspection.v1.Introspection',
  namespaces: 'containerd.services.namespaces.v1.Namespaces',
  containers: 'containerd.services.containers.v1.Containers',
  tasks: 'containerd.services.tasks.v1.Tasks',
  snapshots: 'containerd.services.snapshots.v1.Snapshots',
  images: 'containerd.services.images.v1.Images',
  content: 'containerd.services.content.v1.Content',
  leases: 'containerd.services.leases.v1.Leases',
} as const;

/** Throws where there is no socket at the path. */
export function openContainerd(socket: string): Promise<Containerd> {
  return openGrpc(socket, CONTAINERD);
}

/** Everything but versions and namespaces is asked for within one namespace, named in a header. */
export function within(namespace: string, signal: AbortSignal, seconds?: number): AskOptions {
  const headers = { 'containerd-namespace': namespace };
  return seconds === undefined ? { signal, headers } : { signal, headers, seconds };
}

/** The paths that lead to different sockets, in order; those that lead nowhere are kept. */
export async function distinctSockets(paths: readonly string[]): Promise<readonly string[]> {
  const seen = new Set<string>();
  const distinct: string[] = [];
  for (const path of paths) {
    const key = await stat(path).then(
      ({ dev, ino }) => `${dev} ${ino}`,
      () => path,
    );
    if (!seen.has(key)) distinct.push(path);
    seen.add(key);
  }
  return distinct;
}

/** Overlay folders of a snapshot, the topmost lower one first. */
export interface Layer {
  readonly upper: string;
  readonly userxattr?: boolean;
  readonly lower: readonly string[];
  readonly work?: string;
}

/**
 * The overlay that a snapshot's mounts make (mount options of the kernel's filesystems/overlayfs); undefined for other
 * file systems. A snapshot without a parent is one folder bound as it is.
 */
export function layerOf(mounts: readonly ContainerdMessage<'Mount'>[]): Layer | undefined {
  const [mount] = mounts;
  if (mount === undefined || mounts.length !== 1) return undefined;
  const option = (name: string): string | undefined =>
    mount.options.find((text) => text.startsWith(`${name}=`))?.slice(name.length + 1);
  if (mount.type === 'bind') {
    const own = mount.options.includes('rw') && /\/snapshots\/\d+\/fs$/.test(mount.source);
    return own ? { upper: mount.source, lower: [] } : undefined;
  }
  const upper = option('upperdir');
  if (mount.type !== 'overlay' || upper === undefined) return undefined;
  const work = option('workdir');
  const userxattr = mount.options.includes('userxattr');
  return { upper, lower: lowerFolders(option('lowerdir') ?? ''), userxattr, ...(work === undefined ? {} : { work }) };
}

/** A colon within a folder's name is escaped. */
function lowerFolders(text: string): readonly string[] {
  return text.split(/(?<!\\):/).flatMap((folder) => (folder === '' ? [] : folder.replaceAll('\\:', ':')));
}

/** A container's runtime specification: JSON in an Any. Undefined where it is none. */
export function specOf({ spec }: ContainerdMessage<'Container'>): unknown {
  if (spec === null || spec.value.length === 0) return undefined;
  return jsonOf(spec.value.toString('utf8'));
}

/** ISO 8601; undefined for what was not set. */
export function timeOf(time: ContainerdMessage<'Timestamp'> | null): string | undefined {
  if (time === null) return undefined;
  const milliseconds = Number(time.seconds) * 1000 + Math.floor(time.nanos / 1_000_000);
  // Go's zero time stands for "never"
  if (!(milliseconds > 0 && milliseconds < MAX_MILLISECONDS)) return undefined;
  const whole = new Date(Number(time.seconds) * 1000).toISOString().slice(0, 19);
  return `${whole}.${String(Math.abs(time.nanos)).padStart(9, '0')}Z`;
}

const MAX_MILLISECONDS = 253_402_300_800_000; // the year 10000
