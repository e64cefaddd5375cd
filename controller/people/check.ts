// What the controller knows of itself and of its agents, and what it finds out when it tries: its key, its store, and each
// idle agent's own way to the store.
import { createPublicKey, verify } from 'node:crypto';
import { resolve } from 'node:path';
import {
  checkDirectory,
  checkS3Store,
  describeError,
  forEachBounded,
  ImpoundError,
  type Logger,
  type Signer,
  type StoreCheck,
  within,
} from '../../evidence/index.ts';
import type { CheckedAgent, CheckedWay, CheckReply } from '../../protocol/index.ts';
import type { AgentDesk } from '../agents/desk.ts';
import type { Probes } from '../agents/probes.ts';
import type { AgentRoll, HeardAgent } from '../agents/roll.ts';
import { bucketOf } from '../captures/stores.ts';
import type { ControllerConfig } from '../config.ts';

export interface ChecksOptions {
  readonly config: ControllerConfig;
  readonly signer: Signer;
  readonly software: string;
  readonly desk: AgentDesk;
  readonly roll: AgentRoll;
  readonly probes: Probes;
  /** Whether the node's agent is at a capture. */
  readonly isCapturing: (node: string) => boolean;
  readonly log: Logger;
}

export interface Checks {
  /** Without trying anything. */
  known(): CheckReply;
  /** All nodes where none is named. Leaves some tiny objects in the store: who stores evidence may remove nothing. */
  tried(nodes: readonly string[] | undefined, signal: AbortSignal): Promise<CheckReply>;
}

/** Each is some milliseconds of an agent, and two or three requests to the store. */
const AGENTS_AT_ONCE = 16;
/** Of agents that come and go between two polls. */
const HERE_MILLISECONDS = 5000;
/** A store that answers slowly is given up, so that the rest is told. */
const STORE_MILLISECONDS = 40_000;
/** Begins as nothing that is ever on a chain: DSSE signs what begins with "DSSEv1". */
const HARMLESS = 'impound check: this signature is a trial and says nothing.';

export function checks(options: ChecksOptions): Checks {
  const { config, signer, software, roll } = options;
  const { pod } = config;
  const known = (): CheckReply => ({
    replica: {
      ...{ pod: pod.name, node: pod.node, software },
      leadsSeconds: Math.round(roll.age / 1000),
      utc: new Date().toISOString(),
    },
    key: { keyid: signer.keyid, kind: signer.kind },
    store: { url: config.store.url },
    agents: roll
      .all()
      .map((agent) => agentOf(agent, options))
      .toSorted((a, b) => (a.node < b.node ? -1 : 1)),
  });
  return {
    known,
    async tried(nodes, signal) {
      const asked = nodes === undefined ? undefined : new Set(nodes);
      const [key, check] = await Promise.all([trySigning(signer), tryStore(config)]);
      // not beside it: the trial of a folder takes away again what it made, and agents would put theirs there
      const { agents, ...rest } = known();
      const chosen = agents.filter(({ node }) => asked?.has(node) ?? true);
      const ways = await tryAgents(chosen, options, signal);
      return {
        ...rest,
        key: { ...rest.key, ...key },
        store: { ...rest.store, check },
        agents: agents.map((agent) => ({
          ...agent,
          store: ways.get(agent.node) ?? { outcome: 'unasked', why: 'nobody asked for this node' },
        })),
      };
    },
  };
}

function agentOf(
  { node, pod, silence, software, ahead }: HeardAgent,
  { desk, isCapturing }: Pick<ChecksOptions, 'desk' | 'isCapturing'>,
): CheckedAgent {
  const isHere = desk.isWaiting(node) || silence < HERE_MILLISECONDS;
  return {
    ...{ node, pod },
    state: isCapturing(node) ? 'capturing' : isHere ? 'waiting' : 'away',
    seconds: isHere ? 0 : Math.round(silence / 1000),
    ...(software === undefined ? {} : { software }),
    ...(ahead === undefined ? {} : { aheadMilliseconds: Math.round(ahead) }),
  };
}

async function trySigning(signer: Signer): Promise<Pick<CheckReply['key'], 'signs' | 'milliseconds' | 'problem'>> {
  const began = performance.now();
  const milliseconds = (): number => Math.round(performance.now() - began);
  try {
    const bytes = Buffer.from(`${HARMLESS} ${new Date().toISOString()}\n`);
    const signature = await signer.sign(bytes);
    const signs = verify('sha256', bytes, createPublicKey(signer.publicKeyPem), signature);
    return { signs, milliseconds: milliseconds(), ...(signs ? {} : { problem: 'its signature is not of its key' }) };
  } catch (error) {
    return { signs: false, milliseconds: milliseconds(), problem: describeError(error) };
  }
}

/** The same trial as of `impound check --store`, with this controller's own credentials, network and wishes. */
function tryStore({ store }: ControllerConfig): Promise<StoreCheck> {
  const { url } = store;
  const bucket = bucketOf(store);
  const checked = bucket === undefined ? checkDirectory({ folder: resolve(url) }) : checkS3Store(bucket);
  return within(checked, STORE_MILLISECONDS, (): StoreCheck => {
    const message = `${url} could not be checked: it is not done within ${STORE_MILLISECONDS / 1000} s`;
    const refusal = { code: 'store-unreachable', message } as const;
    return { store: url, verdict: 'could not be checked', checks: [], left: [], refusal };
  });
}

async function tryAgents(
  agents: readonly CheckedAgent[],
  { roll, probes, log }: ChecksOptions,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, CheckedWay>> {
  const ways = new Map<string, CheckedWay>();
  const way = async ({ node, state }: CheckedAgent): Promise<CheckedWay> => {
    if (state === 'capturing') return { outcome: 'busy' };
    if (state === 'away') return { outcome: 'unasked', why: 'its agent is not here' };
    if (roll.of(node)?.can.includes('probe') !== true)
      return { outcome: 'unasked', why: 'its agent is of a version that cannot be asked' };
    if (signal.aborted) return { outcome: 'unasked', why: 'it took too long to come to it: ask for this node alone' };
    try {
      return await probes.try(node, signal);
    } catch (error) {
      // the store's own trial says more of it
      log.warn('a probe could not be made', { node, error: describeError(error) });
      const why = error instanceof ImpoundError ? error.message : 'the controller failed; its log says why';
      return { outcome: 'unasked', why };
    }
  };
  await forEachBounded(agents, AGENTS_AT_ONCE, async (agent) => void ways.set(agent.node, await way(agent)));
  return ways;
}
