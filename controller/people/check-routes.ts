// The people's API, /v1/check: will a capture work? Asked by the leader, which is where agents are.
import { z } from 'zod';
import type { Logger } from '../../evidence/index.ts';
import type { CheckReply } from '../../protocol/index.ts';
import type { Identities } from '../http/identity.ts';
import { Problem } from '../http/problem.ts';
import type { Route } from '../http/route.ts';
import type { Checks } from './check.ts';
import { assertMay } from './rights.ts';

export interface CheckRoutesOptions {
  readonly identities: Identities;
  readonly checks: Checks;
  /** Throws the Problem 421 or 503. */
  readonly assertLeader: () => void;
  /** Told who tries. */
  readonly log: Logger;
}

/** Whoever asks hears nothing meanwhile, and gives a connection up after a minute of that. */
const MILLISECONDS = 45_000;
const MAX_NODES = 200;
const MAX_NODE = 253;

const trialBody = z.strictObject({ nodes: z.array(z.string().min(1).max(MAX_NODE)).min(1).max(MAX_NODES).optional() });

export function checkRoutes({ identities, checks, assertLeader, log }: CheckRoutesOptions): readonly Route[] {
  let running: { readonly of: string; readonly trial: Promise<CheckReply> } | undefined;
  /** Who asks for the same as somebody else does at the moment is told what comes of that. */
  const tried = async (person: string, nodes: readonly string[] | undefined): Promise<CheckReply> => {
    const of = JSON.stringify(nodes ?? null);
    if (running?.of === of) return running.trial;
    if (running !== undefined)
      throw new Problem(429, 'too-many', 'somebody else has other nodes tried: ask again', { retryAfter: 3 });
    log.info('key, store and agents are tried', { person, nodes });
    // not the call's own signal: others may wait for it too
    const trial = checks.tried(nodes, AbortSignal.timeout(MILLISECONDS));
    running = { of, trial };
    try {
      return await trial;
    } finally {
      running = undefined;
    }
  };
  return [
    {
      ...{ method: 'GET', path: '/v1/check', name: 'check' },
      async handle(call) {
        await assertMay(identities, await identities.person(call.token), 'list');
        assertLeader();
        return { json: checks.known() };
      },
    },
    {
      // it leaves objects in the store, and costs a signature: for those who may ask for far more of both
      ...{ method: 'POST', path: '/v1/check', name: 'try' },
      async handle(call) {
        const person = await identities.person(call.token);
        await assertMay(identities, person, 'create');
        assertLeader();
        const { nodes } = await call.json(trialBody);
        return { json: await tried(person.username, nodes) };
      },
    },
  ];
}
