// The agent protocol over HTTPS: docs/agent-protocol.md. Only the leader answers; any other replica says who that is.
import type { Uploads } from '../../evidence/index.ts';
import {
  callsRequest,
  endRequest,
  MAX_CALLS_BYTES,
  MAX_END_BYTES,
  POLL_SECONDS,
  PROTOCOL_VERSIONS,
  pollRequest,
  probedRequest,
  sessionRequest,
} from '../../protocol/index.ts';
import type { LiveCapture } from '../captures/live.ts';
import type { AgentIdentity, Identities } from '../http/identity.ts';
import { Problem } from '../http/problem.ts';
import type { Call, Reply, Route } from '../http/route.ts';
import type { AgentDesk } from './desk.ts';
import type { AgentLimits } from './limits.ts';
import type { Probes } from './probes.ts';
import type { AgentRoll } from './roll.ts';

/** Receives the bytes of a store that takes them through the controller. */
export type Receive = (
  uploads: Uploads,
  grant: string,
  body: AsyncIterable<Uint8Array>,
  length: number | undefined,
) => Promise<Reply>;

export interface AgentRoutesOptions {
  readonly identities: Identities;
  readonly desk: AgentDesk;
  readonly limits: AgentLimits;
  /** Throws the Problem 421 where this replica does not lead, 503 where nobody does. */
  readonly assertLeader: () => void;
  /** Any live capture by its uid, whichever its node. */
  readonly live: (uid: string) => LiveCapture | undefined;
  readonly receive: Receive;
  readonly roll: AgentRoll;
  readonly probes: Probes;
  /** Counts what was refused where no capture is known to say it of. */
  readonly refused?: (code: string) => void;
  /** An agent that speaks no version of the protocol that is spoken here. */
  readonly unspoken?: (node: string, versions: readonly string[]) => void;
}

export function agentRoutes(options: AgentRoutesOptions): readonly Route[] {
  const { identities, desk, assertLeader, roll, probes } = options;
  const inFlight = new Map<string, number>();

  /** Who asks, and no more of them at once than an agent needs. */
  const asAgent = async (call: Call, work: (identity: AgentIdentity) => Promise<Reply>): Promise<Reply> => {
    assertVersion(call);
    assertLeader();
    const identity = await identities.agent(call.token);
    roll.heard(identity);
    const count = inFlight.get(identity.podUid) ?? 0;
    if (count >= options.limits.requests) throw new Problem(429, 'too-many', 'this agent has too many requests open');
    inFlight.set(identity.podUid, count + 1);
    try {
      return await work(identity);
    } finally {
      const left = (inFlight.get(identity.podUid) ?? 1) - 1;
      if (left > 0) inFlight.set(identity.podUid, left);
      else inFlight.delete(identity.podUid);
    }
  };
  const liveOf = ({ params }: Call, { node }: AgentIdentity): LiveCapture => {
    const { uid = '' } = params;
    const live = desk.find(uid, node);
    if (live !== undefined) return live;
    options.refused?.('not-found');
    // another node's is not told from one that there is not
    throw new Problem(404, 'not-found', 'this node has no such capture now');
  };
  /** Of a capture of its own node. */
  const ofCapture = (
    call: Call,
    work: (live: LiveCapture, identity: AgentIdentity) => Promise<Reply>,
  ): Promise<Reply> =>
    asAgent(call, async (identity) => {
      const live = liveOf(call, identity);
      return heard(live, () => work(live, identity));
    });

  return [
    {
      method: 'POST',
      path: '/agent/{version}/poll',
      name: 'agent-poll',
      handle: (call) => {
        const arrived = Date.now();
        return asAgent(call, async (identity) => {
          const polled = await call.json(pollRequest);
          const { versions, can = [] } = polled;
          roll.polled(identity, polled, arrived);
          const version = PROTOCOL_VERSIONS.find((known) => versions.includes(known));
          if (version === undefined) {
            options.unspoken?.(identity.node, versions);
            throw unknownVersion();
          }
          const signal = AbortSignal.any([call.signal, AbortSignal.timeout(POLL_SECONDS * 1000)]);
          const { capture = null, probe } = await desk.next(identity.node, signal, can.includes('probe'));
          roll.heard(identity); // it has waited here until now
          assertLeader(); // it may have been lost while this waited
          return { json: { version, capture, ...(probe === undefined ? {} : { probe }) } };
        });
      },
    },
    {
      method: 'POST',
      path: '/agent/{version}/probes/{id}',
      name: 'agent-probe',
      handle: (call) =>
        asAgent(call, async ({ node }) => {
          const { id = '' } = call.params;
          probes.report(id, node, await call.json(probedRequest));
          return { json: {} };
        }),
    },
    {
      method: 'POST',
      path: '/agent/{version}/captures/{uid}/session',
      name: 'agent-session',
      handle: (call) =>
        ofCapture(call, async (live, identity) => {
          const { number } = await live.begin(identity, await call.json(sessionRequest));
          return { json: { session: number } };
        }),
    },
    {
      method: 'POST',
      path: '/agent/{version}/captures/{uid}/calls',
      name: 'agent-calls',
      handle: (call) =>
        ofCapture(call, async (live, identity) => {
          const { session, calls } = await call.json(callsRequest, MAX_CALLS_BYTES);
          const results = await live.open(session, identity).calls(calls);
          return { json: { results, stop: live.stopping ?? null } };
        }),
    },
    {
      method: 'POST',
      path: '/agent/{version}/captures/{uid}/end',
      name: 'agent-end',
      handle: (call) =>
        ofCapture(call, async (live, identity) => {
          const end = await call.json(endRequest, MAX_END_BYTES);
          await live.finish(live.open(end.session, identity), end);
          return { json: {} };
        }),
    },
    {
      // the URL that was granted says all: it is for these bytes, whoever sends them
      method: 'PUT',
      path: '/agent/{version}/bytes/{uid}',
      name: 'agent-bytes',
      async handle(call) {
        assertVersion(call);
        assertLeader();
        const { uid = '' } = call.params;
        const uploads = options.live(uid)?.uploads ?? probes.uploads(uid);
        const grant = call.url.searchParams.get('grant');
        if (uploads === undefined || grant === null)
          throw new Problem(404, 'not-found', 'there is no such capture now');
        const length = call.request.headers['content-length'];
        return options.receive(uploads, grant, call.request, length === undefined ? undefined : Number(length));
      },
    },
  ];
}

/** What a request to a capture was refused as a whole stands on its chain, as its single calls' refusals do. */
async function heard(live: LiveCapture, work: () => Promise<Reply>): Promise<Reply> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Problem && TOLD.has(error.problem)) live.refuse(error.problem, error.message);
    throw error;
  }
}

/** Anything else is no fault of who asks. */
const TOLD: ReadonlySet<string> = new Set(['request-invalid', 'too-large', 'conflict']);

function assertVersion({ params }: Call): void {
  if (PROTOCOL_VERSIONS.some((version) => version === params.version)) return;
  throw unknownVersion();
}

function unknownVersion(): Problem {
  const versions = PROTOCOL_VERSIONS.join(', ');
  return new Problem(404, 'protocol-unknown', `the agent protocol is spoken in ${versions}`, {
    versions: PROTOCOL_VERSIONS,
  });
}
