// Reads a kubeconfig, and says what of it cannot be used here: which cluster, and as whom.
import { KubeConfig } from '@kubernetes/client-node';
import { describeError, ImpoundError } from '../evidence/index.ts';
import { tokenFileOf } from './token-file.ts';

/** Of all that a kubeconfig has. */
export interface AccessChoice {
  /** A file; by the rules of kubectl where absent: KUBECONFIG, ~/.kube/config, else the pod's own. */
  readonly kubeconfig?: string | undefined;
  /** Its current one where absent. */
  readonly context?: string | undefined;
  /** User whom the API server shall take this one for ("impersonation"). */
  readonly as?: string | undefined;
}

export interface ReadKubeconfig {
  readonly config: KubeConfig;
  readonly server: URL;
  /** The file, for people. */
  readonly name: string;
}

/** Throws `api-unreachable`; `usage` where there is no such context. */
export async function readKubeconfig({ kubeconfig, context, as }: AccessChoice): Promise<ReadKubeconfig> {
  const config = new KubeConfig();
  const name = kubeconfig ?? 'the kubeconfig';
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (cause) {
    throw unusable(`${name} cannot be read: ${describeError(cause)}`, cause);
  }
  if (context !== undefined) choose(config, context, name);
  try {
    await withTokenFile(config, kubeconfig);
  } catch (cause) {
    throw unusable(`${name} cannot be read: ${describeError(cause)}`, cause);
  }
  if (as !== undefined) changeUser(config, (user) => ({ ...user, impersonateUser: as }));
  const cluster = config.getCurrentCluster();
  // without any kubeconfig the library answers http://localhost:8080
  if (!cluster?.server || cluster.server === 'http://localhost:8080')
    throw unusable(`${name} names no cluster: give one with --kubeconfig, or run in a pod`);
  if (!URL.canParse(cluster.server)) throw unusable(`${name}: the cluster's server is not a URL`);
  const server = new URL(cluster.server);
  if (server.protocol !== 'https:')
    throw unusable(`${name}: the cluster's server must be https, not ${server.protocol}`);
  if (cluster.proxyUrl) throw unusable(`${name}: proxy-url is not supported: name a server that is reached without it`);
  return { config, server, name };
}

export function unusable(message: string, cause?: unknown): ImpoundError {
  return new ImpoundError('api-unreachable', message, { operation: 'read kubeconfig', cause });
}

function choose(config: KubeConfig, context: string, name: string): void {
  const names = config.contexts.map((one) => one.name);
  if (!names.includes(context)) {
    const message = `${name} has no context ${context}; it has ${names.join(', ') || 'none'}`;
    throw new ImpoundError('usage', message, { operation: 'read kubeconfig', thing: context });
  }
  config.setCurrentContext(context);
}

/** The library knows files of tokens only of pods: `tokenFile` of a kubeconfig's user is made the same here. */
async function withTokenFile(config: KubeConfig, kubeconfig: string | undefined): Promise<void> {
  const user = config.getCurrentUser();
  if (user === null || user.authProvider || user.exec) return;
  const tokenFile = await tokenFileOf(user.name, kubeconfig);
  if (tokenFile === undefined) return;
  changeUser(config, (one) => {
    const { token: _, ...rest } = one; // the file's counts, where both are given
    return { ...rest, authProvider: { name: 'tokenFile', config: { tokenFile } } };
  });
}

type User = KubeConfig['users'][number];

function changeUser(config: KubeConfig, change: (user: User) => User): void {
  const current = config.getCurrentUser();
  const { clusters, contexts, currentContext } = config;
  const users = config.users.map((one) => (one === current ? change(one) : one));
  config.loadFromOptions({ clusters, contexts, currentContext, users });
}
