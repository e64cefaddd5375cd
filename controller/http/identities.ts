// Who bears a token, by the API server's own word, and what a person may: agents by account, pod and node, people as the
// API server knows them.
import type { Clock } from '../../evidence/index.ts';
import type { Kubernetes } from '../../kubernetes/index.ts';
import { refusalOf, type UidOf } from './binding.ts';
import { makeCache, makeShared } from './cache.ts';
import type { AgentIdentity, Identities, PersonIdentity } from './identity.ts';
import type { Problem } from './problem.ts';
import {
  CAPACITY,
  isSilence,
  LATE,
  MAX_AGE_MILLISECONDS,
  patiently,
  type Reading,
  type RefusalReason,
  reviewer,
  SILENT_MILLISECONDS,
  silent,
} from './reviewer.ts';
import { reviewAccess } from './reviews.ts';
import { claimsOf, tokenKey } from './token.ts';

export type { RefusalReason } from './reviewer.ts';

export interface IdentitiesOptions {
  readonly api: Kubernetes;
  readonly clock: Clock;
  /** Of the agents' tokens: "impound-controller" where absent. */
  readonly audience?: string;
  /** Where the agents run. */
  readonly namespace: string;
  /** "impound-agent" where absent. */
  readonly serviceAccount?: string;
  /** Of the node of this name; asked at most each few seconds for one token. */
  readonly nodeUid: UidOf;
  /** Of the pod of this name in `namespace`. */
  readonly podUid: UidOf;
  /** Who an agent's token says that it is of: nobody vouches for that. */
  readonly refused?: (reason: RefusalReason, claimed: Claimed) => void;
  /** For how long a known agent is believed while the API server is silent, after its review has ended: 300 s. */
  readonly graceMilliseconds?: number;
}

export interface Claimed {
  readonly node: string | undefined;
  readonly pod: string | undefined;
}

const NOBODY: Claimed = { node: undefined, pod: undefined };
const BOUND_MILLISECONDS = 3000;
const RIGHT_MILLISECONDS = 10_000;
const NO_RIGHT_MILLISECONDS = 2000;

const EXTRA = 'authentication.kubernetes.io/';

export function identities(options: IdentitiesOptions): Identities {
  const { api, clock, nodeUid, podUid, refused = () => undefined } = options;
  const { audience = 'impound-controller', namespace, serviceAccount = 'impound-agent' } = options;
  const { graceMilliseconds = 300_000 } = options;
  const now = (): number => clock.now().getTime();
  const username = `system:serviceaccount:${namespace}:${serviceAccount}`;
  const refuse = (reason: RefusalReason, problem: Problem, claimed: Claimed = NOBODY): never => {
    refused(reason, claimed);
    throw problem;
  };
  const agents = reviewer<AgentIdentity>({
    ...{ api, now, audience },
    refuse: (reason, problem, token) => refuse(reason, problem, token === undefined ? NOBODY : claimsOf(token)),
    grace: graceMilliseconds,
    read: (person) => agentOf(person, username),
  });
  const people = reviewer<PersonIdentity>({
    ...{ api, now, audience: undefined },
    refuse: (reason, problem) => refuse(reason, problem),
    grace: 0,
    read: (person) => person,
  });
  /** Whose pod and node were seen at all, and whose lately. */
  const onceBound = makeCache<true>(CAPACITY, now);
  const bound = makeCache<true>(CAPACITY, now);
  const binding = makeShared<void>();
  const rights = makeCache<boolean>(CAPACITY, now);
  const asking = makeShared<boolean>();

  const look = async (agent: AgentIdentity, key: string): Promise<void> => {
    const found = await refusalOf(agent, nodeUid, podUid);
    if (found !== undefined) {
      agents.forget(key);
      bound.delete(key);
      onceBound.delete(key);
      refuse(found.reason, found.problem, agent);
    }
    onceBound.set(key, true, now() + MAX_AGE_MILLISECONDS);
    bound.set(key, true, now() + BOUND_MILLISECONDS);
  };

  /** An API server that is silent proves nothing against an agent that is known. */
  const assertBound = async (agent: AgentIdentity, key: string): Promise<void> => {
    if (bound.get(key) === true) return;
    const looked = binding(key, () => look(agent, key));
    try {
      if (onceBound.get(key) !== true) return await looked;
      if ((await patiently(looked)) !== LATE) return;
    } catch (error) {
      if (!isSilence(error)) throw error;
      if (onceBound.get(key) !== true) refuse('api-silent', silent());
    }
    bound.set(key, true, now() + SILENT_MILLISECONDS);
  };

  return {
    async agent(token) {
      const { identity, key } = await agents.identify(token);
      await assertBound(identity, key);
      return identity;
    },
    async person(token) {
      return (await people.identify(token)).identity;
    },
    may(person, verb, subresource, name) {
      const key = tokenKey(JSON.stringify([person, verb, subresource ?? null, name ?? null]));
      const known = rights.get(key);
      if (known !== undefined) return Promise.resolve(known);
      return asking(key, async () => {
        const allowed = await reviewAccess(api, person, { verb, subresource, name }).catch((error: unknown) => {
          if (isSilence(error)) return refuse('api-silent', silent());
          throw error;
        });
        rights.set(key, allowed, now() + (allowed ? RIGHT_MILLISECONDS : NO_RIGHT_MILLISECONDS));
        return allowed;
      });
    },
  };
}

function agentOf({ username, extra }: PersonIdentity, expected: string): Reading<AgentIdentity> {
  if (username !== expected)
    return { reason: 'username', status: 403, detail: 'only the agents of this installation may ask this' };
  const one = (name: string): string => {
    const values = extra[`${EXTRA}${name}`] ?? [];
    return values.length === 1 ? (values[0] ?? '') : '';
  };
  const agent = {
    ...{ username, pod: one('pod-name'), podUid: one('pod-uid') },
    ...{ node: one('node-name'), nodeUid: one('node-uid') },
  };
  if (Object.values(agent).includes(''))
    return { reason: 'unbound', status: 403, detail: 'the token is not bound to a pod and its node' };
  return agent;
}
