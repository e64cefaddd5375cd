// Brings a cluster up: whatever need not wait for another starts at once.
import { join } from 'node:path';
import { cacheDirectory, corednsProgram, kubernetesPrograms } from '../components.ts';
import type { Api } from './api.ts';
import { type Bed, until } from './bed.ts';
import { API_SERVER, type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { RESOLVER, startDns } from './dns.ts';
import { addressesOf, connect, DNS_SERVICE } from './network.ts';
import { makeImages, startKubelet, startProxy, startRuntime } from './node.ts';
import { makePki, type Pki } from './pki.ts';
import type { Place } from './place.ts';

/** The place of the control plane. */
export const CONTROL = 'control';
const READY_SECONDS = 90;

export interface ClusterNode {
  /** "node1", "node2", "node3". */
  readonly name: string;
  /** Where the other nodes and all pods reach what listens on it. */
  readonly address: string;
  /** Of its containerd, as a path on this machine. */
  readonly containerd: string;
  readonly podLogs: string;
  readonly kubelet: Daemon;
  readonly proxy: Daemon;
  readonly runtime: Daemon;
}

export interface Running {
  readonly plane: ControlPlane;
  readonly pki: Pki;
  readonly nodes: readonly ClusterNode[];
  readonly kubectl: string;
}

export async function bringUp(bed: Bed, count: number): Promise<Running> {
  const cache = cacheDirectory();
  const programs = kubernetesPrograms(cache);
  const folder = (name: string): string => join(bed.directory, name);
  const images = makeImages(bed.directory);
  images.catch(() => undefined); // said by the nodes that wait for it
  const [pki, control, ...places] = await Promise.all([
    makePki(folder('pki'), API_SERVER),
    bed.place(CONTROL, 'nameserver 127.0.0.1\n'),
    ...Array.from({ length: count }, (_, index) => bed.place(`node${index + 1}`, RESOLVER)),
  ]);
  const sites = places.map((place, index) => ({ name: place.name, place, ...addressesOf(index + 1) }));
  await connect(control, sites);
  const [plane, proxyConfig, ...runtimes] = await Promise.all([
    startControlPlane(control, folder(CONTROL), pki, programs),
    pki.kubeconfig('kube-proxy', '/CN=system:kube-proxy'),
    ...sites.map(async (site) => ({ site, runtime: await startRuntime(site, folder(site.name), images) })),
  ]);
  const { api } = plane;
  const dns = async (): Promise<void> => {
    const daemon = await startDns(control, folder(CONTROL), pki, corednsProgram(cache), api);
    await until(daemon, READY_SECONDS, () => resolves(control, '127.0.0.1'));
  };
  const accounts = (): Promise<void> =>
    until(plane.controllerManager, READY_SECONDS, () =>
      api('GET', '/api/v1/namespaces/default/serviceaccounts/default'),
    );
  const [, , ...nodes] = await Promise.all([
    dns(),
    accounts(),
    ...runtimes.map(async ({ site, runtime: { socket, daemon } }): Promise<ClusterNode> => {
      const { name, address, place } = site;
      const [kubelet, proxy] = await Promise.all([
        startKubelet(site, folder(name), socket, pki, programs),
        startProxy(site, folder(name), proxyConfig, programs),
      ]);
      await until(kubelet, READY_SECONDS, () => nodeIsReady(api, name));
      await until(proxy, READY_SECONDS, () => resolves(place, DNS_SERVICE));
      const podLogs = join(folder(name), 'pod-logs');
      return { name, address, containerd: socket, podLogs, kubelet, proxy, runtime: daemon };
    }),
  ]);
  return { plane, pki, nodes, kubectl: join(programs, 'kubectl') };
}

async function nodeIsReady(api: Api, name: string): Promise<void> {
  const { status } = (await api('GET', `/api/v1/nodes/${name}`)) as {
    readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  };
  const ready = status.conditions?.find(({ type }) => type === 'Ready');
  if (ready?.status !== 'True') throw new Error(JSON.stringify(ready));
}

/** Through kube-proxy's rules where `server` is the service's address. */
function resolves(place: Place, server: string): Promise<string> {
  const words = ['timeout', '2', 'busybox', 'nslookup', '-type=a', 'kubernetes.default.svc.cluster.local', server];
  return place.run('busybox', words);
}
