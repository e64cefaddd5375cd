// A cluster with Impound's manifests, clients for its API server, and captures as the controller sees them.
import { readFile } from 'node:fs/promises';
import { after } from 'node:test';
import type { NodeObject } from '../../../controller/containment/node.ts';
import { NODES } from '../../../controller/containment/node.ts';
import { type Prior, priorFor } from '../../../controller/containment/prior.ts';
import { systemClock } from '../../../evidence/index.ts';
import { type Kubernetes, kubernetes } from '../../../kubernetes/client.ts';
import { type NodeCapture, parseNodeCapture } from '../../../protocol/index.ts';
import { LEAST } from '../../protocol/samples.ts';
import { type Cluster, startCluster } from '../../testbed/cluster.ts';
import { API_FILES } from '../../testbed/manifests.ts';

export interface ControllerBed {
  readonly cluster: Cluster;
  readonly admin: Kubernetes;
  /** With the token of the controller's own service account, and no more rights than that. */
  readonly controller: Kubernetes;
  /** "127.0.0.1:PORT" of the API server. */
  readonly reached: string;
  /** Of the controller, by way of another server that relays to it. */
  through(address: string): Promise<Kubernetes>;
}

export async function startControllerBed(nodes: 1 | 3): Promise<ControllerBed> {
  const cluster = await startCluster({ after }, { nodes });
  await cluster.kubectl('apply', '--server-side', ...API_FILES);
  await cluster.kubectl('wait', '--for=condition=Established', '--timeout=20s', 'crd/nodecaptures.impound.dev');
  const [ca, cert, key] = await Promise.all(
    [cluster.admin.ca, cluster.admin.certificate, cluster.admin.key].map((path) => readFile(path)),
  );
  const reached = await cluster.reach('control', '127.0.0.1:16443');
  const authorization = `Bearer ${await cluster.token('impound-system/impound-controller')}`;
  const opened: Kubernetes[] = [];
  const open = (address: string, tls: object, headers: Readonly<Record<string, string>>): Kubernetes => {
    const client = kubernetes({ server: new URL(`https://${address}`), tls, headers: async () => headers });
    opened.push(client);
    return client;
  };
  after(() => opened.forEach((client) => void client.close()));
  const through = async (address: string): Promise<Kubernetes> => open(address, { ca }, { authorization });
  return {
    cluster,
    admin: open(reached, { ca, cert, key }, {}),
    controller: await through(reached),
    reached,
    through,
  };
}

export function captureOf(name: string, node: string, spec: object = {}, status: object = {}): NodeCapture {
  const metadata = { name, uid: `uid-of-${name}`, creationTimestamp: '2026-07-01T10:00:00Z' };
  const { apiVersion, kind } = { apiVersion: 'impound.dev/v1alpha1', kind: 'NodeCapture' };
  return parseNodeCapture({ apiVersion, kind, metadata, spec: { ...LEAST, node, ...spec }, status });
}

/** The capture with the node's prior in its status, as it is before anything is changed. */
export async function recorded(
  { admin }: ControllerBed,
  capture: NodeCapture,
  captures: readonly NodeCapture[] = [],
): Promise<{ readonly capture: NodeCapture; readonly prior: Prior }> {
  const prior = priorFor(await nodeOf(admin, capture.spec.node), capture, captures, systemClock);
  return { capture: { ...capture, status: { ...capture.status, prior } }, prior };
}

export async function nodeOf(client: Kubernetes, name: string): Promise<NodeObject> {
  return await client.get<NodeObject>(`${NODES}/${name}`);
}
