// A node of the cluster: containerd with a bridge for its pods, a kubelet, and kube-proxy.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BUSYBOX_IMAGE, containerdConfig, IMAGES } from '../containerd-config.ts';
import { until } from './bed.ts';
import type { Daemon } from './daemon.ts';
import { busyboxImage } from './image.ts';
import { DNS_SERVICE, type NodePlace, PODS } from './network.ts';
import type { Pki } from './pki.ts';

const READY_SECONDS = 60;

export interface Runtime {
  /** containerd's socket, which speaks the CRI too, as a path on this machine. */
  readonly socket: string;
  readonly daemon: Daemon;
}

/** The images' archives in `folder`, for every node. */
export function makeImages(folder: string): Promise<readonly string[]> {
  return Promise.all(
    IMAGES.map(async ([reference, command]) => {
      const archive = join(folder, reference === BUSYBOX_IMAGE ? 'busybox.tar' : 'pause.tar');
      await busyboxImage(archive, reference, command);
      return archive;
    }),
  );
}

/** Ready with the images in it. `folder` is the place's. */
export async function startRuntime(
  { place, pods }: NodePlace,
  folder: string,
  images: Promise<readonly string[]>,
): Promise<Runtime> {
  const networks = join(folder, 'cni');
  const config = join(folder, 'containerd.toml');
  const socket = join(folder, 'containerd.sock');
  await mkdir(networks);
  await writeFile(join(networks, '10-testbed.conflist'), JSON.stringify(network(folder, pods)));
  await writeFile(config, containerdConfig(join(folder, 'containerd'), socket, networks));
  const daemon = await place.start('containerd', 'containerd', ['-c', config]);
  const archives = await images;
  await until(daemon, READY_SECONDS, () => place.run('ctr', ['-a', socket, 'version']));
  for (const archive of archives) await place.run('ctr', ['-a', socket, '-n', 'k8s.io', 'images', 'import', archive]);
  return { socket, daemon };
}

/** `programs` is the folder of Kubernetes' commands. */
export async function startKubelet(
  { name, address, place }: NodePlace,
  folder: string,
  socket: string,
  pki: Pki,
  programs: string,
): Promise<Daemon> {
  const kubeconfig = await pki.kubeconfig(name, `/O=system:nodes/CN=system:node:${name}`, `DNS:${name},IP:${address}`);
  const config = join(folder, 'kubelet.yaml');
  await writeFile(config, JSON.stringify(kubeletConfig(folder, pki, socket, name), null, 2));
  return await place.start('kubelet', join(programs, 'kubelet'), [
    ...[`--config=${config}`, `--kubeconfig=${kubeconfig}`, `--hostname-override=${name}`, `--node-ip=${address}`],
    ...[`--root-dir=${join(folder, 'kubelet')}`, `--cert-dir=${join(folder, 'certs')}`],
  ]);
}

/** `kubeconfig` is one for all nodes. */
export async function startProxy(
  { name, place }: NodePlace,
  folder: string,
  kubeconfig: string,
  programs: string,
): Promise<Daemon> {
  const config = join(folder, 'kube-proxy.yaml');
  await writeFile(config, JSON.stringify(proxyConfig(name, kubeconfig), null, 2));
  return await place.start('kube-proxy', join(programs, 'kube-proxy'), [`--config=${config}`]);
}

function network(folder: string, pods: string): object {
  const ipam = {
    type: 'host-local',
    dataDir: join(folder, 'ipam'),
    ranges: [[{ subnet: pods }]],
    routes: [{ dst: '0.0.0.0/0' }],
  };
  const bridge = { type: 'bridge', bridge: 'cni0', isGateway: true, ipMasq: false, hairpinMode: true, ipam };
  return { cniVersion: '1.0.0', name: 'testbed', plugins: [bridge] };
}

function proxyConfig(name: string, kubeconfig: string): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    clientConnection: { kubeconfig },
    hostnameOverride: name,
    clusterCIDR: PODS,
    // these sysctls are the whole machine's, not the namespace's
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    nftables: { minSyncPeriod: '100ms' },
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
  };
}

const EVICTION_SIGNALS = [
  'memory.available',
  'nodefs.available',
  'nodefs.inodesFree',
  'imagefs.available',
  'imagefs.inodesFree',
];

function kubeletConfig(folder: string, pki: Pki, socket: string, name: string): object {
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
    clusterDNS: [DNS_SERVICE],
    clusterDomain: 'cluster.local',
    cgroupDriver: 'cgroupfs',
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    failCgroupV1: false,
    failSwapOn: false,
    // how soon a Secret's change is in its pods: a minute where absent
    syncFrequency: '10s',
    makeIPTablesUtilChains: false,
    containerRuntimeEndpoint: `unix://${socket}`,
    // the machine's disk is everybody's: when other tests fill it, no pod of ours is to be taken for the reason
    evictionHard: Object.fromEntries(EVICTION_SIGNALS.map((signal) => [signal, '0%'])),
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    resolvConf: '',
    volumePluginDir: join(folder, 'kubelet', 'volume-plugins'),
    podLogsDir: join(folder, 'pod-logs'),
  };
}
