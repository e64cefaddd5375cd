// The agents' tries at a capture, as the chain tells of them.
import type { Actor, Statement } from '../../evidence/index.ts';
import type { EndRequest, SessionRequest } from '../../protocol/index.ts';
import type { AgentIdentity } from '../http/identity.ts';

/** Reason of the note by which the chain keeps an agent's word that its session is over. */
export const SESSION_ENDED = 'session-ended';

export interface BegunSession extends Pick<SessionRequest, 'nonce' | 'software' | 'collectors'> {
  readonly number: number;
  readonly identity: AgentIdentity;
  /** Its own word, if it had one. */
  readonly end: EndRequest | undefined;
}

export function agentActor({ username, node, pod }: AgentIdentity, session: number): Actor {
  return { kind: 'agent', name: username, node, pod, session };
}

export function countAgentSessions(statements: readonly Statement[]): number {
  return agentSessions(statements).length;
}

export function lastAgentSession(statements: readonly Statement[]): BegunSession | undefined {
  const last = agentSessions(statements).at(-1);
  if (last === undefined) return undefined;
  const { actor, details } = last.predicate;
  const { nonce, podUid, software, collectors, session } = details as unknown as SessionRequest & {
    readonly podUid: string;
    readonly session: number;
  };
  const { name: username, node = '', pod = '' } = actor;
  const identity = { username, node, nodeUid: '', pod, podUid };
  return { number: session, nonce, software, collectors, identity, end: endOf(statements, session) };
}

/** What the chain keeps of an agent's last word: its gaps stand there already, each with its collector's end. */
export function endDetails({ session, outcome, reason }: EndRequest): object {
  return { reason: SESSION_ENDED, session, outcome, ...(reason === undefined ? {} : { why: reason }) };
}

function endOf(statements: readonly Statement[], session: number): EndRequest | undefined {
  const said = statements.findLast(
    ({ predicate: { action, actor, details } }) =>
      action === 'note' && actor.kind === 'agent' && details.reason === SESSION_ENDED && details.session === session,
  );
  if (said === undefined) return undefined;
  const { outcome, why } = said.predicate.details as { readonly outcome: EndRequest['outcome']; readonly why?: string };
  return { session, outcome, ...(why === undefined ? {} : { reason: why }), gaps: [], footprint: [] };
}

function agentSessions(statements: readonly Statement[]): readonly Statement[] {
  return statements.filter(({ predicate: { action, actor } }) => action === 'session' && actor.kind === 'agent');
}
