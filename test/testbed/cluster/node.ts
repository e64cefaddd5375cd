// A node of the cluster: containerd with a bridge for its pods, and a kubelet.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bed } from './bed.ts';
import { busyboxImage } from './image.ts';
import type { Pki } from './pki.ts';

/** The image that is always there. */
export const BUSYBOX_IMAGE = 'localhost/busybox:1';
const PAUSE_IMAGE = 'localhost/pause:1';
const READY_SECONDS = 60;

export interface NodePlace {
  readonly name: string;
  readonly address: string;
  /** The network its pods are in. */
  readonly pods: string;
}

/** Starts both; ready once containerd answers. Returns containerd's socket, which speaks the CRI too. */
export async function startNode(bed: Bed, pki: Pki, programs: string, node: NodePlace): Promise<string> {
  const directory = join(bed.directory, node.name);
  await mkdir(join(directory, 'cni'), { recursive: true });
  const socket = join(directory, 'containerd.sock');
  await writeFile(join(directory, 'cni', '10-testbed.conflist'), JSON.stringify(network(directory, node.pods)));
  await writeFile(join(directory, 'containerd.toml'), containerdConfig(directory, socket));
  await bed.start(`${node.name}-containerd`, 'containerd', ['-c', join(directory, 'containerd.toml')]);
  await bed.until(`${node.name}-containerd`, READY_SECONDS, () => bed.run('ctr', ['-a', socket, 'version']));
  for (const [reference, command] of [
    [PAUSE_IMAGE, ['/bin/sleep', '1000000']],
    [BUSYBOX_IMAGE, ['/bin/sh']],
  ] as const) {
    const archive = join(directory, 'image.tar');
    await busyboxImage(archive, reference, command);
    await bed.run('ctr', ['-a', socket, '-n', 'k8s.io', 'images', 'import', archive]);
  }
  await pki.certificate(
    node.name,
    `/O=system:nodes/CN=system:node:${node.name}`,
    `DNS:${node.name},IP:${node.address}`,
  );
  const config = join(directory, 'kubelet.yaml');
  await writeFile(config, JSON.stringify(kubeletConfig(directory, pki, socket, node.name), null, 2));
  await bed.start(`${node.name}-kubelet`, join(programs, 'kubelet'), [
    ...[`--config=${config}`, `--kubeconfig=${await pki.kubeconfig(node.name)}`, `--hostname-override=${node.name}`],
    ...[
      `--node-ip=${node.address}`,
      `--root-dir=${join(directory, 'kubelet')}`,
      `--cert-dir=${join(directory, 'certs')}`,
    ],
  ]);
  return socket;
}

function network(directory: string, pods: string): object {
  const ipam = {
    type: 'host-local',
    dataDir: join(directory, 'ipam'),
    ranges: [[{ subnet: pods }]],
    routes: [{ dst: '0.0.0.0/0' }],
  };
  const bridge = { type: 'bridge', bridge: 'cni0', isGateway: true, ipMasq: false, hairpinMode: true, ipam };
  return { cniVersion: '1.0.0', name: 'testbed', plugins: [bridge] };
}

/** Without CAP_SYS_RESOURCE no process may have a lower OOM score: restrict_oom_score_adj. */
function containerdConfig(directory: string, socket: string): string {
  return `version = 2
root = "${join(directory, 'containerd', 'root')}"
state = "${join(directory, 'containerd', 'state')}"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${join(directory, 'cni')}"
`;
}

function kubeletConfig(directory: string, pki: Pki, socket: string, name: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    port: 20250,
    healthzPort: 20248,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: pki.file('ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: pki.file(`${name}.crt`),
    tlsPrivateKeyFile: pki.file(`${name}.key`),
    cgroupDriver: 'cgroupfs',
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    failCgroupV1: false,
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    containerRuntimeEndpoint: `unix://${socket}`,
    resolvConf: '',
    volumePluginDir: join(directory, 'kubelet', 'volume-plugins'),
    podLogsDir: join(directory, 'pod-logs'),
  };
}
