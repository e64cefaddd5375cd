// The bed's Impound with people who have the roles of the manifests, and the command line as they call it.
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cli, type Ran, startCli } from '../helpers/cli.ts';
import { type People, peopleOf } from '../helpers/people.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { type Impound, type ImpoundOptions, startImpound } from '../testbed/impound.ts';

export interface PeopleBed extends People {
  readonly impound: Impound;
  readonly home: string;
  run(kubeconfig: string, ...words: readonly string[]): Promise<Ran>;
  start(kubeconfig: string, ...words: readonly string[]): ReturnType<typeof startCli>;
}

export async function startPeopleBed(options: ImpoundOptions = {}): Promise<PeopleBed> {
  const [impound, home] = await Promise.all([startImpound({ after }, options), fileTemporaryFolder()]);
  return {
    ...(await peopleOf(impound.cluster, home)),
    ...{ impound, home },
    run: (file, ...words) => cli([...words, '--kubeconfig', file], { home }),
    start: (file, ...words) => startCli([...words, '--kubeconfig', file], { home }),
  };
}

/**
 * The controllers here are no pods: pods on the network of these nodes stand for them, so that what the API server forwards
 * to a pod's port reaches the controller; the first one that is found is of the first node.
 */
export async function standIn({ cluster, ca, namespace }: Impound, nodes: readonly string[]): Promise<void> {
  await cluster.kubectl('-n', namespace, 'create', 'configmap', 'impound-ca', `--from-file=ca.crt=${ca}`);
  const options = { namespace, serviceAccountName: 'impound-controller', spec: { hostNetwork: true } };
  const names = nodes.map((node, index) => [node, `impound-controller-${'abc'[index]}`] as const);
  await Promise.all(names.map(([node, name]) => cluster.pod(name, 'exec sleep 1000000', { ...options, node })));
}

/** Name of its node. */
export async function leaderOf({ cluster, namespace }: Impound): Promise<string> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/impound-controller`;
  for (;;) {
    const lease = (await cluster.api('GET', path).catch(() => ({}))) as {
      readonly spec?: { readonly holderIdentity?: string };
    };
    if (lease.spec?.holderIdentity) return lease.spec.holderIdentity.replace('controller-', '');
    await sleep(100);
  }
}
