// The controller's replicas as they are seen from outside: which one leads, and what each answers.

import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Impound } from '../testbed/impound.ts';

const LEASE = '/apis/coordination.k8s.io/v1/namespaces/impound-system/leases/impound-controller';
const MILLISECONDS = 5000;

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** The node of the replica that holds the lease now. */
export async function leaderOf({ cluster }: Impound): Promise<string | undefined> {
  const lease = (await cluster.api('GET', LEASE)) as { readonly spec: { readonly holderIdentity?: string } };
  return lease.spec.holderIdentity?.replace('controller-', '') || undefined;
}

/** Waits until one of these leads. */
export async function untilLeads(impound: Impound, ...nodes: readonly string[]): Promise<string> {
  const end = Date.now() + 40_000;
  for (;;) {
    const leader = await leaderOf(impound).catch(() => undefined); // the API server may be away
    if (leader !== undefined && nodes.includes(leader)) return leader;
    if (Date.now() > end) throw new Error(`${leader} leads, and none of ${nodes.join(', ')}`);
    await sleep(50);
  }
}

/** Asks a node's replica; a POST in the name of the agent whose token is given. */
export async function askReplica(impound: Impound, node: string, path: string, token?: string): Promise<Answer> {
  const url = new URL(path, await impound.reach(node));
  const ca = await readFile(impound.ca);
  const headers = token === undefined ? {} : { authorization: `Bearer ${token.trim()}` };
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const options = { ca, servername: impound.serverName, agent: false, signal: AbortSignal.timeout(MILLISECONDS) };
  const method = token === undefined ? 'GET' : 'POST';
  const asked = request(url, { ...options, method, headers: { ...headers, 'content-type': 'application/json' } });
  asked.on('error', reject).on('response', (answer) => {
    const chunks: Buffer[] = [];
    answer.on('error', reject).on('data', (chunk: Buffer) => chunks.push(chunk));
    answer.on('end', () => {
      try {
        resolve({ status: answer.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) });
      } catch (error) {
        reject(error);
      }
    });
  });
  asked.end(token === undefined ? undefined : JSON.stringify({ versions: ['v1'], software: 'a test' }));
  return promise;
}
