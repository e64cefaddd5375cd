// What a bundle lacks, in the chain's terms and with more names where somebody told them.
import type { ChainWriter, GapGroup } from '../../evidence/index.ts';
import type { EndRequest } from '../../protocol/index.ts';
import { countAgentSessions } from './sessions.ts';

/** Stands for all that a node's agent would have collected. */
const AGENT = 'agent';

export function groupsOf(end: EndRequest | undefined): readonly GapGroup[] {
  return (end?.gaps ?? []).map(({ detail, ...group }) => ({ ...group, ...(detail === undefined ? {} : { detail }) }));
}

/** The chain's groups, with more names where somebody told them: what it tells and the chain does not is left out. */
export function fuller(chain: readonly GapGroup[], told: readonly GapGroup[]): readonly GapGroup[] {
  const keyOf = ({ collector, session, reason, detail = '' }: GapGroup): string =>
    JSON.stringify([collector, session, reason, detail]);
  const more = new Map(told.map((group) => [keyOf(group), group.names]));
  return chain.map((group) => ({ ...group, names: more.get(keyOf(group)) ?? group.names }));
}

/** Where no session ever began, no collector was announced, and nothing would say that the node's whole part is missing. */
export async function declareAbsentAgent(chain: ChainWriter, node: string, seconds: number): Promise<void> {
  if (countAgentSessions(chain.statements) > 0) return;
  const known = chain.statements.some(
    ({ predicate: { action, details } }) =>
      action === 'collect' &&
      Array.isArray(details.ended) &&
      details.ended.some(({ collector }) => collector === AGENT),
  );
  if (known) return;
  const detail = 'no agent began on the node: all that is collected there is missing, whatever the profile asked for';
  const gap: GapGroup = { collector: AGENT, session: 1, reason: 'absent', detail, count: 1, names: [node] };
  const end = { collector: AGENT, session: 1, outcome: 'absent', seconds: Math.round(seconds), gaps: [gap] };
  await chain.append('collect', { artefacts: [], ended: [end] });
}
