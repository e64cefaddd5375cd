// Protecting: the grant is stored, the agent is told, and the node is held and cordoned while it already collects.
import type { NodeCapture } from '../../protocol/index.ts';
import { applyHold, type HoldOutcome, verifyHold } from '../containment/hold.ts';
import { findNode } from '../containment/node.ts';
import { priorFor } from '../containment/prior.ts';
import { TURN_MILLISECONDS } from '../turns.ts';
import { secondsLeft } from './deadline.ts';
import { capturesBeside } from './list.ts';
import { after, isUnwanted, type PhaseFunction, type Reconciling } from './phase.ts';
import { type Said, writeStatus } from './status.ts';
import { sayUnsupported } from './unmet.ts';

const REPLICA_ON_SUSPECT = 'replica-on-suspect';

export const protect: PhaseFunction = async (capture, context) => {
  const { kubernetes, clock, desk, live, steppedDown, tell, turns } = context;
  const { metadata, spec } = capture;
  const opened = await live.open(capture);
  if (opened.has('close')) return { kind: 'on', capture: await writeStatus(kubernetes, clock, capture, CLOSED) };
  if (steppedDown?.includes(metadata.uid ?? '') && !opened.has('note', REPLICA_ON_SUSPECT)) {
    const [replica] = steppedDown.split(' ');
    await opened.chain.append('note', { reason: REPLICA_ON_SUSPECT, replica, said: steppedDown });
  }
  const isHeard = desk.isWaiting(spec.node);
  if (!isUnwanted(capture)) desk.offer(metadata.uid ?? '', spec.node, opened, secondsLeft(capture, clock));
  turns.told(metadata.name, isHeard);
  // first the agents of all that begin now are told: what is volatile on their nodes does not wait
  if (!turns.isCalm(metadata.name)) return after(TURN_MILLISECONDS);
  live.survey(capture);
  const granted: Said = {
    type: 'Granted',
    status: 'True',
    reason: 'Stored',
    message: `signed by key ${context.signer.keyid}`,
  };
  const { recorded, said } = isUnwanted(capture) ? { recorded: capture, said: UNWANTED } : await hold(capture, context);
  tell(capture, 'Normal', 'Granted', `evidence of node ${spec.node} goes to ${capture.status?.bundle?.url ?? ''}`);
  const change = {
    phase: 'Collecting',
    said: [granted, said, ...sayUnsupported(spec)],
    bundle: bundleOf(recorded, opened.chain.head),
  } as const;
  return { kind: 'on', capture: await writeStatus(kubernetes, clock, recorded, change) };
};

export function bundleOf({ status }: NodeCapture, head: { readonly sequence: number; readonly sha256: string }) {
  return { id: status?.bundle?.id ?? '', url: status?.bundle?.url ?? '', head };
}

/** Somebody has closed the bundle from elsewhere: nothing more goes into it. */
export const CLOSED = { phase: 'Sealing', message: 'the bundle was closed from elsewhere' } as const;

const UNWANTED: Said = {
  type: 'Protected',
  status: 'False',
  reason: 'NotWanted',
  message: 'it was ended before the node was held',
};

/** The prior state stands in the status before anything is changed, and the change on the chain. */
async function hold(
  capture: NodeCapture,
  context: Reconciling,
): Promise<{ readonly recorded: NodeCapture; readonly said: Said }> {
  const { kubernetes, clock, live } = context;
  const node = await findNode(kubernetes, capture.spec.node);
  if (node === undefined) {
    const message = `node ${capture.spec.node} is gone`;
    return { recorded: capture, said: { type: 'Protected', status: 'False', reason: 'NodeGone', message } };
  }
  const list = capturesBeside(capture, node, context);
  const prior = priorFor(node, capture, await list(), clock);
  const recorded = await writeStatus(kubernetes, clock, capture, { prior });
  // each time anew: of two that hold a node at the same time, the later one knows of the other
  const outcome = await applyHold(kubernetes, { capture: recorded, prior, captures: await list() });
  const check = await verifyHold(kubernetes, { capture: recorded, prior, captures: await list() }, outcome);
  const opened = await live.open(recorded);
  if (!opened.has('protect')) await opened.chain.append('protect', { ...outcome, prior, verified: check });
  return { recorded, said: sayHeld(outcome, check.stands) };
}

function sayHeld({ refused, node }: HoldOutcome, stands: boolean): Said {
  const [first] = refused;
  if (first !== undefined) {
    const reason = first.reason.replaceAll(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const message = refused.map(({ detail }) => detail).join('; ');
    return { type: 'Protected', status: 'False', reason, message };
  }
  if (stands) return { type: 'Protected', status: 'True', reason: 'Held', message: `node ${node} is held` };
  return {
    type: 'Protected',
    status: 'False',
    reason: 'Undone',
    message: `somebody undid it at once: see node ${node}`,
  };
}
