// A proxy before an HTTP server that does to chosen requests what networks and S3 do: cuts, delays, loses, refuses.
// The Host header and all others pass unchanged, so that a client signs for the proxy's address and the server agrees.
// A server that refuses early and resets may lose its answer to the proxy, as to every client that is Node.js.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Fault, type SeenRequest, serve } from './fault-exchange.ts';
import type { Scope } from './http-daemon.ts';

export interface Rule {
  readonly method?: string;
  /** Against the request target: path and query, as sent. */
  readonly target?: RegExp;
  /** The first matching request that is treated so, counted from 1 as the default. */
  readonly nth?: number;
  /** How many matching requests from that one; the default is 1. */
  readonly times?: number;
  readonly fault: Fault;
}

export interface FaultProxy {
  readonly endpoint: string;
  /** In the order they came. */
  readonly seen: readonly SeenRequest[];
  /** The first rule that matches a request and is not used up is applied to it. Counting begins now. */
  add(...rules: readonly Rule[]): void;
  /** Forgets all rules. */
  clear(): void;
  stop(): Promise<void>;
}

/** `target` is an endpoint: `http://127.0.0.1:9000`. */
export async function startProxy(scope: Scope, target: string): Promise<FaultProxy> {
  let counted: { readonly rule: Rule; matches: number }[] = [];
  const seen: SeenRequest[] = [];
  const faultOf = (incoming: IncomingMessage): Fault | undefined => {
    const matching = counted.filter(({ rule }) => matches(rule, incoming));
    for (const one of matching) one.matches++;
    return matching.find(({ rule: { nth = 1, times = 1 }, matches: n }) => n >= nth && n < nth + times)?.rule.fault;
  };
  const handle = (incoming: IncomingMessage, response: ServerResponse): void => {
    const { method = '', url = '', headers } = incoming;
    const fault = faultOf(incoming);
    const record = { method, target: url, headers, fault: fault?.kind, sentOn: 0, status: undefined };
    seen.push(record);
    // whatever goes wrong on one side ends the other
    serve(new URL(target), { incoming, response, record, fault }).catch(() => response.destroy());
  };
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: 0 }, handle);
  server.on('checkContinue', handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
  scope.after(stop);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    seen,
    add: (...rules) => counted.push(...rules.map((rule) => ({ rule, matches: 0 }))),
    clear: () => {
      counted = [];
    },
    stop,
  };
}

function matches({ method, target }: Rule, incoming: IncomingMessage): boolean {
  if (method !== undefined && method !== incoming.method) return false;
  return target === undefined || target.test(incoming.url ?? '');
}
