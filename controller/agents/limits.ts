// How much one capture takes of a node that may lie about all it says.
import { DATA_FOLDERS, ImpoundError, layoutOf } from '../../evidence/index.ts';

export interface AgentLimits {
  /** Bytes granted to one capture, over all its sessions. */
  readonly bytes: number;
  readonly artefacts: number;
  /** Tries; an agent that fails at once would otherwise begin for ever. */
  readonly sessions: number;
  /** Uploads in parts that are open at once. */
  readonly uploads: number;
  /** Bytes of what is said on the chain: records, ends of collectors, clocks. */
  readonly words: number;
  /** Requests of one agent that are answered at once, its poll among them. */
  readonly requests: number;
}

export const AGENT_LIMITS: AgentLimits = {
  bytes: 4 * 1024 ** 4,
  artefacts: 100_000,
  sessions: 20,
  uploads: 64,
  words: 128 * 1024 ** 2,
  requests: 16,
};

/** What the controller writes itself: what it and the cluster say beside what the node says. */
const RESERVED: readonly string[] = ['00-meta', '90-cloud', '95-kubernetes'];
/** "data" and its folder among them; honest ones have half of that. */
const MAX_SEGMENTS = 10;
/** Of 00-meta, what a node says of itself; with a later session's number and as age. */
const OWN_META = /^data\/00-meta\/(?:host\.json|clock\.jsonl)$/;
const SESSION_NUMBER = /\.\d+(?=\.(?:json|jsonl)$)/;

/** Throws `grant-refused` for a path that is not an agent's to write. */
export function assertAgentPath(path: string): void {
  const [, folder = ''] = path.split('/');
  const own = DATA_FOLDERS.some((known) => known === folder) && !RESERVED.includes(folder);
  if (path.split('/').length > MAX_SEGMENTS) throw refused(path, `a path has ${MAX_SEGMENTS} segments at most`);
  if (layoutOf(path)?.kind === 'payload' && (own || OWN_META.test(path.replace(SESSION_NUMBER, '')))) return;
  throw refused(path, 'it is not where an agent stores what it collects');
}

export function refused(thing: string, why: string): ImpoundError {
  const shown = thing.slice(0, 200);
  return new ImpoundError('grant-refused', `${JSON.stringify(shown)} is refused: ${why}`, {
    operation: 'take from agent',
    thing: shown,
  });
}
