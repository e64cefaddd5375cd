// People of the bed's cluster, each with a kubeconfig and the roles of the manifests, and the command line as they call it.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after } from 'node:test';
import { cli, type Ran, startCli } from '../helpers/cli.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { type Impound, type ImpoundOptions, startImpound } from '../testbed/impound.ts';

const API = '127.0.0.1:16443';

export interface PeopleBed {
  readonly impound: Impound;
  readonly home: string;
  /** Kubeconfig of a service account of this name with these ClusterRoles. */
  person(name: string, ...roles: readonly string[]): Promise<string>;
  /** The same for a server and a token of the test's own. */
  kubeconfig(name: string, server: string, token: string): Promise<string>;
  run(kubeconfig: string, ...words: readonly string[]): Promise<Ran>;
  start(kubeconfig: string, ...words: readonly string[]): ReturnType<typeof startCli>;
}

export async function startPeopleBed(options: ImpoundOptions = {}): Promise<PeopleBed> {
  const [impound, home] = await Promise.all([startImpound({ after }, options), fileTemporaryFolder()]);
  const { cluster } = impound;
  const server = `https://${await cluster.reach('control', API)}`;
  const ca = (await readFile(cluster.admin.ca)).toString('base64');
  const kubeconfig = async (name: string, address: string, token: string): Promise<string> => {
    const file = join(home, `${name}.kubeconfig`);
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'bed', cluster: { server: address, 'certificate-authority-data': ca } }],
      users: [{ name, user: { token } }],
      contexts: [{ name: `${name}@bed`, context: { cluster: 'bed', user: name } }],
      'current-context': `${name}@bed`,
    };
    await writeFile(file, JSON.stringify(config));
    return file;
  };
  return {
    impound,
    home,
    kubeconfig,
    async person(name, ...roles) {
      const rbac = 'rbac.authorization.k8s.io';
      await cluster.apply(
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'default' } },
        ...roles.map((role) => ({
          apiVersion: `${rbac}/v1`,
          kind: 'ClusterRoleBinding',
          metadata: { name: `${name}-${role}` },
          roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: role },
          subjects: [{ kind: 'ServiceAccount', namespace: 'default', name }],
        })),
      );
      return kubeconfig(name, server, await cluster.token(name));
    },
    run: (file, ...words) => cli([...words, '--kubeconfig', file], { home }),
    start: (file, ...words) => startCli([...words, '--kubeconfig', file], { home }),
  };
}

/** What lets somebody look at nodes and at Impound's own pods, as an administrator may. */
export const LOOKER = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: { name: 'looker' },
  rules: [
    { apiGroups: [''], resources: ['nodes', 'pods', 'configmaps'], verbs: ['get', 'list'] },
    { apiGroups: ['apps'], resources: ['daemonsets'], verbs: ['get'] },
    { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get'] },
  ],
};

export const FORWARDER = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: { name: 'forwarder' },
  rules: [{ apiGroups: [''], resources: ['pods/portforward'], verbs: ['create', 'get'] }],
};
