// People of a cluster of the tests' own: service accounts with roles of the manifests, each with a kubeconfig.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster } from '../testbed/cluster.ts';

const API = '127.0.0.1:16443';
const RBAC = 'rbac.authorization.k8s.io';
const SYSTEM = 'impound-system';

export interface People {
  /** Kubeconfig of a service account of this name with these roles: ClusterRoles, and Roles of that name where there are. */
  person(name: string, ...roles: readonly string[]): Promise<string>;
  /** The same for a server and a token of the test's own. */
  kubeconfig(name: string, server: string, token: string): Promise<string>;
}

/** `folder` takes the kubeconfigs. */
export async function peopleOf(cluster: Cluster, folder: string): Promise<People> {
  const server = `https://${await cluster.reach('control', API)}`;
  const ca = (await readFile(cluster.admin.ca)).toString('base64');
  const kubeconfig: People['kubeconfig'] = async (name, address, token) => {
    const file = join(folder, `${name}.kubeconfig`);
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
    kubeconfig,
    async person(name, ...roles) {
      const subjects = [{ kind: 'ServiceAccount', namespace: 'default', name }];
      const binding = (kind: 'ClusterRole' | 'Role', role: string): object => ({
        apiVersion: `${RBAC}/v1`,
        kind: `${kind}Binding`,
        metadata: { name: `${name}-${role}`, ...(kind === 'Role' ? { namespace: SYSTEM } : {}) },
        roleRef: { apiGroup: RBAC, kind, name: role },
        subjects,
      });
      await cluster.apply(
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'default' } },
        ...roles.flatMap((role) => [binding('ClusterRole', role), binding('Role', role)]),
      );
      return kubeconfig(name, server, await cluster.token(name));
    },
  };
}
