// Who this program is to the API server, and where that is: a kubeconfig, or the pod's own service account.
import type { AgentOptions, RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import { describeError, ImpoundError } from '../../evidence/index.ts';

/** Where requests go, and what each of them bears. */
export interface Access {
  readonly server: URL;
  /** Of the connections: the cluster's authority, a client's certificate. */
  readonly tls: AgentOptions;
  /** Asked for each request, since a token is changed for another before it ends. */
  headers(): Promise<Readonly<Record<string, string>>>;
}

/** A token read from a file is read again once it is older (as client-go does), so it need not be asked for each time. */
const HEADERS_MILLISECONDS = 10_000;

/** A file, or by the rules of kubectl: KUBECONFIG, ~/.kube/config, else the pod's own. Throws `api-unreachable`. */
export async function readAccess(kubeconfig?: string): Promise<Access> {
  const config = new KubeConfig();
  const name = kubeconfig ?? 'the kubeconfig';
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (cause) {
    throw unusable(`${name} cannot be read: ${describeError(cause)}`, cause);
  }
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw unusable(`${name} names no cluster: give one with --kubeconfig, or run in a pod`);
  const asked = async (): Promise<RequestOptions & { headers: Record<string, string> }> => {
    const options = { headers: {} };
    await config.applyToHTTPSOptions(options);
    return options;
  };
  const { ca, cert, key, rejectUnauthorized, servername } = await asked();
  const tls = { ca, cert, key, rejectUnauthorized, servername };
  let headers: Promise<Readonly<Record<string, string>>> | undefined;
  let until = 0;
  return {
    server: new URL(server),
    tls: Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined)),
    headers() {
      if (headers === undefined || Date.now() > until) {
        until = Date.now() + HEADERS_MILLISECONDS;
        headers = asked().then((options) => options.headers);
      }
      return headers;
    },
  };
}

function unusable(message: string, cause?: unknown): ImpoundError {
  return new ImpoundError('api-unreachable', message, { operation: 'read kubeconfig', cause });
}
