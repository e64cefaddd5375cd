// A node of the cluster: containerd with a bridge for its pods, and a kubelet.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { containerdConfig, IMAGES } from '../containerd-config.ts';
import type { Bed } from './bed.ts';
import { busyboxImage } from './image.ts';
import type { Pki } from './pki.ts';

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
  await writeFile(
    join(directory, 'containerd.toml'),
    containerdConfig(join(directory, 'containerd'), socket, join(directory, 'cni')),
  );
  await bed.start(`${node.name}-containerd`, 'containerd', ['-c', join(directory, 'containerd.toml')]);
  await bed.until(`${node.name}-containerd`, READY_SECONDS, () => bed.run('ctr', ['-a', socket, 'version']));
  for (const [reference, command] of IMAGES) {
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
