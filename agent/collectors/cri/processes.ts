// Which processes of the node a container's are, and which network namespace a pod has.
import { closeSync, fstatSync } from 'node:fs';
import type { Host } from '../../host/host.ts';
import { pinBelow } from '../../host/open.ts';
import { resolveBelow } from '../../host/resolve.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import { at, textAt } from '../../runtime/json.ts';

/** A process is named with its start: the PID alone may be another's by the time the table is read. */
export function processFields({ pid, startTicks, comm, netns }: ProcessSummary): Record<string, unknown> {
  return { pid, startTicks, comm, netns };
}

/** Those in the container's cgroup, and those the engine names. */
export function processesIn(
  id: string,
  named: readonly number[],
  processes: ReadonlyMap<number, ProcessSummary>,
): readonly Record<string, unknown>[] {
  const known = new Set(named);
  const found: Record<string, unknown>[] = [];
  for (const process of processes.values()) {
    if (process.container?.containerId === id || known.has(process.pid)) found.push(processFields(process));
  }
  return found;
}

export interface NetworkNamespace {
  readonly path?: string;
  readonly inode?: number;
}

/**
 * Of a runtime specification: the file that holds the namespace and its inode, which is the namespace's own name; the
 * first process' where the specification names no file (its own, or the node's).
 */
export function networkNamespace(host: Host, spec: unknown, process: ProcessSummary | undefined): NetworkNamespace {
  const namespaces = at(spec, 'linux', 'namespaces');
  const own = Array.isArray(namespaces) ? namespaces.find((one) => textAt(one, 'type') === 'network') : undefined;
  const path = textAt(own, 'path');
  const inode = process?.netns ?? (path === undefined ? undefined : inodeOf(host, path));
  return { ...(path === undefined ? {} : { path }), ...(inode === undefined ? {} : { inode }) };
}

/**
 * Never opened: O_PATH is enough to be told the inode. A path below /proc is that of a process that has ended, and its
 * PID may be another's now.
 */
function inodeOf(host: Host, path: string): number | undefined {
  if (path.startsWith('/proc/')) return undefined;
  try {
    const fd = pinBelow(host.root, resolveBelow(host.root, path));
    try {
      return fstatSync(fd).ino;
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined; // the pod has ended, or its file system is not seen from here: the path is in the row
  }
}
