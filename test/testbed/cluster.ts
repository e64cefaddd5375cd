// A real Kubernetes cluster of the tests' own: its control plane and each of its nodes in namespaces of their own.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Api } from './cluster/api.ts';
import { type Bed, makeBed } from './cluster/bed.ts';
import { bringUp, type ClusterNode, CONTROL, type Running } from './cluster/bring-up.ts';
import { API_SERVER, type ApiServer } from './cluster/control-plane.ts';
import type { Daemon } from './cluster/daemon.ts';
import type { Certificate } from './cluster/pki.ts';
import type { Place, RunOptions } from './cluster/place.ts';
import { type Pod, type PodName, type PodOptions, podObject, readyPod } from './cluster/pod.ts';
import { makeRelays } from './cluster/relays.ts';
import type { Scope } from './http-daemon.ts';

export type { ClusterNode } from './cluster/bring-up.ts';
export type { Daemon } from './cluster/daemon.ts';
export type { Pod, PodOptions } from './cluster/pod.ts';

/** What `needs` is told for a test that starts a cluster. */
export const CLUSTER_COMPONENTS = [
  'kubernetes',
  'coredns',
  'etcd',
  'containerd',
  'runc',
  'cni',
  'nft',
  'busybox',
  'openssl',
  'ip',
  'nsenter',
] as const;

const POD_MILLISECONDS = 60_000;
const POLL_MILLISECONDS = 50;

export interface ClusterOptions {
  /** 1 where absent. */
  readonly nodes?: 1 | 3;
}

export interface TokenOptions {
  readonly audience?: string;
  /** At least 600. */
  readonly seconds?: number;
  /** Name of the pod that the token is bound to, as the kubelet's are. */
  readonly pod?: string;
}

export interface Cluster {
  readonly directory: string;
  readonly nodes: readonly ClusterNode[];
  /** The first node's name, its containerd and its pods' logs. */
  readonly node: string;
  readonly containerd: string;
  readonly podLogs: string;
  /** URL of the API server for processes of the bed; see `reach` for the test's own. */
  readonly server: string;
  /** Of a member of system:masters, with its kubeconfig for `server`. */
  readonly admin: Certificate & { readonly kubeconfig: string };
  readonly apiServer: ApiServer;
  readonly controllerManager: Daemon;
  /** Asks the API server as the admin: some milliseconds, where kubectl takes half a second. */
  readonly api: Api;
  kubectl(...args: readonly string[]): Promise<string>;
  /** `kubectl apply` of objects, or of YAML. */
  apply(...objects: readonly (object | string)[]): Promise<void>;
  /** A pod of one busybox container that runs `command` in sh; resolves when it is ready. */
  pod(name: string, command: string, options?: PodOptions): Promise<Pod>;
  /** Runs a command in a pod to its end; its standard output. */
  exec(pod: PodName, ...command: readonly string[]): Promise<string>;
  /** Of a service account, "NAME" in "default" or "NAMESPACE/NAME", by TokenRequest. */
  token(serviceAccount: string, options?: TokenOptions): Promise<string>;
  /** Signed by the cluster's authority; `alternatives` as "DNS:a,IP:1.2.3.4". */
  certificate(name: string, subject: string, alternatives?: string): Promise<Certificate>;
  /** Runs a program on a node ("control": beside the API server) to its end; its standard output. */
  run(place: string, command: readonly string[], options?: RunOptions): Promise<string>;
  /** Starts a program there in the background; it ends with the cluster. Names of one place's programs differ. */
  start(place: string, name: string, command: readonly string[], env?: RunOptions['env']): Promise<Daemon>;
  /** Lets the test's process reach what a place reaches at `address`, "10.99.0.1:16443"; "127.0.0.1:PORT". */
  reach(place: string, address: string): Promise<string>;
  /** Lets processes of the bed and pods reach a server of this machine, "127.0.0.1:7070"; "10.99.0.1:PORT". */
  publish(address: string): Promise<string>;
  /** A second call does nothing. */
  stop(): Promise<void>;
}

/**
 * Ready in some ten seconds, with three nodes in some twelve. It ends with `scope`, where that is given: a test, or
 * `{ after }` for a whole file at its top level (in a `before` hook, node:test's `after` is over with the hook).
 */
export async function startCluster(scope?: Scope, { nodes = 1 }: ClusterOptions = {}): Promise<Cluster> {
  const bed = await makeBed();
  try {
    const cluster = clusterOf(bed, await bringUp(bed, nodes));
    scope?.after(cluster.stop);
    return cluster;
  } catch (error) {
    await bed.stop();
    throw error;
  }
}

function clusterOf(bed: Bed, { plane, pki, nodes, kubectl: program }: Running): Cluster {
  const [first] = nodes;
  if (first === undefined) throw new Error('a cluster has a node');
  const at = (name: string): Place => {
    const found = bed.places.find((place) => place.name === name);
    if (found === undefined) throw new Error(`the bed has no place "${name}"`);
    return found;
  };
  const control = at(CONTROL);
  const folders = new Map(nodes.map(({ name }) => [name, join(bed.directory, name)]));
  const kubectl = (args: readonly string[], input?: string): Promise<string> =>
    control.run(program, ['--kubeconfig', plane.admin.kubeconfig, ...args], input === undefined ? {} : { input });
  const relays = makeRelays(bed, control);
  let stopped: Promise<void> | undefined;
  return {
    directory: bed.directory,
    nodes,
    node: first.name,
    containerd: first.containerd,
    podLogs: first.podLogs,
    server: API_SERVER,
    admin: plane.admin,
    apiServer: plane.apiServer,
    controllerManager: plane.controllerManager,
    api: plane.api,
    kubectl: (...args) => kubectl(args),
    async apply(...objects) {
      const documents = objects.map((object) => (typeof object === 'string' ? object : JSON.stringify(object)));
      await kubectl(['apply', '-f', '-'], documents.join('\n---\n'));
    },
    async pod(name, command, options = {}) {
      const path = `/api/v1/namespaces/${options.namespace ?? 'default'}/pods`;
      await plane.api('POST', path, podObject(name, command, options));
      const end = Date.now() + POD_MILLISECONDS;
      for (;;) {
        const answer = await plane.api('GET', `${path}/${name}`);
        const pod = readyPod(answer, folders);
        if (pod !== undefined) return pod;
        if (Date.now() > end) throw new Error(`pod ${name} is not ready: ${JSON.stringify(answer)}`);
        await sleep(POLL_MILLISECONDS);
      }
    },
    exec: ({ name, namespace = 'default' }, ...command) => kubectl(['exec', '-n', namespace, name, '--', ...command]),
    async token(serviceAccount, { audience, seconds, pod } = {}) {
      const [name = '', namespace = 'default'] = serviceAccount.split('/').reverse();
      const answer = (await plane.api('POST', `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`, {
        spec: {
          ...(audience === undefined ? {} : { audiences: [audience] }),
          ...(seconds === undefined ? {} : { expirationSeconds: seconds }),
          ...(pod === undefined ? {} : { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: pod } }),
        },
      })) as { readonly status: { readonly token: string } };
      return answer.status.token;
    },
    certificate: (...words) => pki.certificate(...words),
    run: (place, [command = '', ...args], options) => at(place).run(command, args, options),
    start: (place, name, [command = '', ...args], env) => at(place).start(name, command, args, env),
    reach: (place, address) => relays.reach(at(place), address),
    publish: (address) => relays.publish(address),
    stop() {
      plane.close();
      stopped ??= bed.stop();
      return stopped;
    },
  };
}
