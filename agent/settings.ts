// How a node is captured where nobody says otherwise.
import type { AgentConfig } from './config.ts';
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
    namedBy: (engine) => `--${engine} SOCKET`,
    watch: WATCH_SECONDS,
    freeze: false,
    devices: [],
    ownFolders: [],
  };
}

/** For the DaemonSet's program: sockets as its arguments name them, by their path on the node or as it sees that. */
export function agentSettings({ docker, containerd, cri }: AgentConfig, host: Host): NodeSettings {
  const usual = nodeSettings(host);
  const root = host.path('/');
  const named = (socket: string | undefined): readonly string[] | undefined => {
    const path = socket?.replace(/^unix:\/\//, '');
    return path === undefined ? undefined : [path.startsWith(root) ? path : host.path(path)];
  };
  return {
    ...usual,
    dockerSockets: named(docker) ?? usual.dockerSockets,
    containerdSockets: named(containerd) ?? usual.containerdSockets,
    criSockets: named(cri ?? containerd) ?? usual.criSockets,
    namedBy: (engine) => `"impound install --agent-arg=--${engine}=SOCKET"`,
  };
}
