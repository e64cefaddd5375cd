// Who this program is to the API server, and where that is: a kubeconfig, or the pod's own service account.
import type { AgentOptions, RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import { describeError, ImpoundError } from '../evidence/index.ts';
import { tokenFileOf } from './token-file.ts';

/** Where requests go, and what each of them bears. */
export interface Access {
  readonly server: URL;
  /** Of the connections: the cluster's authority, a client's certificate. */
  readonly tls: AgentOptions;
  /** Asked for each request, since a token is changed for another before it ends. */
  headers(): Promise<Readonly<Record<string, string>>>;
}

/** A file's token is read again after a minute (as client-go does), so it need not be asked for each time. */
const HEADERS_MILLISECONDS = 10_000;

/** A file, or by the rules of kubectl: KUBECONFIG, ~/.kube/config, else the pod's own. Throws `api-unreachable`. */
export async function readAccess(kubeconfig?: string): Promise<Access> {
  const config = new KubeConfig();
  const name = kubeconfig ?? 'the kubeconfig';
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
    await withTokenFile(config, kubeconfig);
  } catch (cause) {
    throw unusable(`${name} cannot be read: ${describeError(cause)}`, cause);
  }
  const cluster = config.getCurrentCluster();
  // without any kubeconfig the library answers http://localhost:8080
  if (!cluster?.server || cluster.server === 'http://localhost:8080')
    throw unusable(`${name} names no cluster: give one with --kubeconfig, or run in a pod`);
  if (!URL.canParse(cluster.server)) throw unusable(`${name}: the cluster's server is not a URL`);
  const server = new URL(cluster.server);
  if (server.protocol !== 'https:')
    throw unusable(`${name}: the cluster's server must be https, not ${server.protocol}`);
  if (cluster.proxyUrl) throw unusable(`${name}: proxy-url is not supported: name a server that is reached without it`);
  const asked = async (): Promise<RequestOptions & { headers: Record<string, string> }> => {
    const options = { headers: {} };
    await config.applyToHTTPSOptions(options);
    return options;
  };
  let begun: Awaited<ReturnType<typeof asked>>;
  try {
    begun = await asked();
  } catch (cause) {
    throw unusable(`the credentials of ${name} cannot be had: ${describeError(cause)}`, cause);
  }
  const { ca, cert, key, rejectUnauthorized, servername } = begun;
  const tls = { ca, cert, key, rejectUnauthorized, servername };
  return {
    server,
    tls: Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined)),
    headers: kept(async () => trimmed((await asked()).headers)),
  };
}

/** The last answer while it is young; a failure is not kept, so that the next request asks again. */
function kept<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  let until = 0;
  return () => {
    if (answer !== undefined && performance.now() <= until) return answer;
    until = performance.now() + HEADERS_MILLISECONDS;
    const asked = ask();
    answer = asked;
    asked.catch(() => {
      if (answer === asked) answer = undefined;
    });
    return asked;
  };
}

/** A token's file may end with a line feed, which a header may not have. */
function trimmed(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.trim()]));
}

/** The library knows files of tokens only of pods: `tokenFile` of a kubeconfig's user is made the same here. */
async function withTokenFile(config: KubeConfig, kubeconfig: string | undefined): Promise<void> {
  const user = config.getCurrentUser();
  if (user === null || user.authProvider || user.exec) return;
  const tokenFile = await tokenFileOf(user.name, kubeconfig);
  if (tokenFile === undefined) return;
  const users = config.users.map((one) => {
    if (one !== user) return one;
    const { token: _, ...rest } = one; // the file's counts, where both are given
    return { ...rest, authProvider: { name: 'tokenFile', config: { tokenFile } } };
  });
  const { clusters, contexts, currentContext } = config;
  config.loadFromOptions({ clusters, contexts, currentContext, users });
}

function unusable(message: string, cause?: unknown): ImpoundError {
  return new ImpoundError('api-unreachable', message, { operation: 'read kubeconfig', cause });
}
