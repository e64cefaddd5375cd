// Who this program is to the API server, and where that is: a kubeconfig, or the pod's own service account.
import type { AgentOptions, RequestOptions } from 'node:https';
import { describeError } from '../evidence/index.ts';
import { type AccessChoice, readKubeconfig, unusable } from './kubeconfig.ts';

/** Where requests go, and what each of them bears. */
export interface Access {
  readonly server: URL;
  /** Name of the kubeconfig's context, for people. */
  readonly context?: string;
  /** Of the connections: the cluster's authority, a client's certificate. */
  readonly tls: AgentOptions;
  /** Asked for each request, since a token is changed for another before it ends. */
  headers(): Promise<Readonly<Record<string, string>>>;
}

/** A file's token is read again after a minute (as client-go does), so it need not be asked for each time. */
const HEADERS_MILLISECONDS = 10_000;

/** Throws `api-unreachable` where there is nothing that can be used, `usage` where there is no such context. */
export async function readAccess(kubeconfig?: string, choice: Omit<AccessChoice, 'kubeconfig'> = {}): Promise<Access> {
  const { config, server, name } = await readKubeconfig({ ...choice, kubeconfig });
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
    context: config.getCurrentContext(),
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
