// Which container runtimes and Kubernetes components this machine has, by their files. None of them is run.
import { lstatSync, type Stats } from 'node:fs';
import type { Host } from '../../host/host.ts';

const PLACES: Readonly<Record<string, readonly string[]>> = {
  kubelet: [
    '/usr/bin/kubelet',
    '/usr/local/bin/kubelet',
    '/opt/bin/kubelet',
    '/var/lib/kubelet',
    '/etc/kubernetes/kubelet',
  ],
  k3s: ['/usr/local/bin/k3s', '/var/lib/rancher/k3s'],
  docker: ['/usr/bin/dockerd', '/run/docker.sock', '/var/lib/docker'],
  containerd: [
    '/usr/bin/containerd',
    '/usr/local/bin/containerd',
    '/run/containerd/containerd.sock',
    '/var/lib/containerd',
  ],
  crio: ['/usr/bin/crio', '/run/crio/crio.sock', '/var/lib/containers/storage'],
  podman: ['/usr/bin/podman'],
  runc: ['/usr/bin/runc', '/usr/sbin/runc', '/usr/local/sbin/runc'],
};

/** `failed` is told of what is there and cannot be looked at. */
export function runtimes(host: Host, failed: (error: unknown, name: string) => void): Record<string, unknown> {
  const found = Object.entries(PLACES).map(
    ([name, places]) => [name, places.flatMap((path) => describe(host, path, failed))] as const,
  );
  return { runtimes: Object.fromEntries(found.filter(([, places]) => places.length > 0)) };
}

function describe(
  host: Host,
  path: string,
  failed: (error: unknown, name: string) => void,
): readonly Record<string, unknown>[] {
  let stats: Stats | undefined;
  try {
    stats = lstatSync(host.path(path), { throwIfNoEntry: false });
  } catch (error) {
    failed(error, path);
  }
  if (stats === undefined) return [];
  const kind = stats.isDirectory() ? 'folder' : stats.isSocket() ? 'socket' : stats.isSymbolicLink() ? 'link' : 'file';
  return [{ path, kind, size: stats.size, modified: stats.mtime.toISOString() }];
}
