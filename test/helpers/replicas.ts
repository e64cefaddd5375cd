// The controller's replicas as they are seen from outside: which one leads, and what each answers.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Impound } from '../testbed/impound.ts';
import { askHttps } from './https.ts';

const LEASE = '/apis/coordination.k8s.io/v1/namespaces/impound-system/leases/impound-controller';

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
  const poll = token === undefined ? {} : { token: token.trim(), json: { versions: ['v1'], software: 'a test' } };
  const { ca, serverName } = impound;
  const { status, bytes } = await askHttps(`${await impound.reach(node)}${path}`, { ca, serverName, ...poll });
  return { status, body: JSON.parse(bytes.toString()) };
}
