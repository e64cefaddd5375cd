// How a node is captured where nobody says otherwise.
import type { NodeSettings } from './context.ts';
import type { Host } from './host/host.ts';

const DOCKER = ['/var/run/docker.sock', '/run/docker.sock'];
/** They answer the CRI too, but for dockerd's own: k3s and RKE2, MicroK8s, k0s, Docker. */
const CONTAINERD = [
  '/run/containerd/containerd.sock',
  '/run/k3s/containerd/containerd.sock',
  '/var/snap/microk8s/common/run/containerd.sock',
  '/run/k0s/containerd.sock',
  '/run/docker/containerd/containerd.sock',
  '/var/run/docker/containerd/containerd.sock',
];
const CRIO = ['/run/crio/crio.sock', '/var/run/crio/crio.sock'];

/** Seconds: long enough for a beacon with a jitter of some seconds to be seen. */
const WATCH_SECONDS = 10;

export function nodeSettings(host: Host): NodeSettings {
  return {
    profile: 'standard',
    suspects: [],
    dockerSockets: DOCKER.map(host.path),
    criSockets: [...CONTAINERD, ...CRIO].map(host.path),
    containerdSockets: CONTAINERD.map(host.path),
    watch: WATCH_SECONDS,
    freeze: false,
    devices: [],
    ownFolders: [],
  };
}
