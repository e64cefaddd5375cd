// What the cluster itself says of the node, collected by the controller beside what the node's agent says.
import { runCapture } from '../../capture/index.ts';
import {
  beginSession,
  type GapGroup,
  LocalCustodian,
  type Logger,
  parseRecipients,
  type Statement,
} from '../../evidence/index.ts';
import type { Kubernetes } from '../../kubernetes/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import { kubernetes as collector } from '../collectors/kubernetes.ts';
import type { LiveCapture } from './live.ts';

export interface SurveyOptions {
  readonly capture: NodeCapture;
  readonly live: LiveCapture;
  readonly kubernetes: Kubernetes;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** The gaps, by more names than the chain keeps. Nothing is done twice: a try that a crash cut off is a session of its own. */
export async function survey({ capture, live, kubernetes, log, signal }: SurveyOptions): Promise<readonly GapGroup[]> {
  const tries = ownSessions(live.chain.statements);
  const isDone = live.ended(collector.name);
  if (isDone) return [];
  const { spec } = capture;
  const session = tries + 1;
  const { chain, custody, store } = live;
  await beginSession(chain, {
    session,
    software: custody.software,
    profile: spec.profile,
    collectors: [collector.name],
    suspects: spec.suspects ?? [],
  });
  const { recipients: named } = spec.encryption;
  const recipients = named === undefined ? [] : await parseRecipients(named);
  const custodian = new LocalCustodian({ store, chain, clock: custody.clock, recipients });
  const results = await runCapture({
    collectors: [collector],
    skipped: [],
    context: (base) => ({ ...base, kubernetes, node: spec.node, suspects: spec.suspects ?? [] }),
    custodian,
    session,
    signal,
    log,
    clock: custody.clock,
    observe: () => undefined,
  });
  await custodian.flush();
  return results.flatMap(({ gaps }) => gaps);
}

function ownSessions(statements: readonly Statement[]): number {
  return statements.filter(({ predicate: { action, actor } }) => action === 'session' && actor.kind === 'controller')
    .length;
}
