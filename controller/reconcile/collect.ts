// Collecting: the agent works; here is watched how far it is, whether it is still heard, and when it is enough.
import { type NodeCapture, SILENCE_SECONDS } from '../../protocol/index.ts';
import type { LiveCapture } from '../captures/live.ts';
import { secondsLeft } from './deadline.ts';
import { after, isUnwanted, type PhaseFunction, type Reconciling } from './phase.ts';
import { bundleOf } from './protect.ts';
import { type Said, writeStatus } from './status.ts';

/** A silent agent's pod may come back as another: for so long, its silence included, the bundle is left open for it. */
const RETURN_SECONDS = 60;
/** An agent that was told to stop, or that is at its last artefact, gets so long. */
const FAREWELL_SECONDS = 20;
const LOOK_MILLISECONDS = 1000;

export const collect: PhaseFunction = async (capture, context) => {
  const { clock, desk, live, kubernetes } = context;
  const { metadata, spec } = capture;
  const uid = metadata.uid ?? '';
  const opened = await live.open(capture);
  const left = secondsLeft(capture, clock);
  if (isUnwanted(capture)) opened.stop(spec.cancel === true ? 'cancelled' : 'released or deleted');
  else if (left <= 0) opened.stop('its deadline has passed');
  else desk.offer(uid, spec.node, opened, left);
  const surveyed = live.survey(capture);
  await opened.recordRefusals();
  const state = agentState(opened, desk.isBusy(spec.node, uid));
  if (state.kind === 'silent' && !opened.has('note', 'agent-silent')) await sayContact(capture, opened, state, context);
  const done = state.kind === 'ended' || state.kind === 'gone';
  if (!done || !surveyed) {
    await writeStatus(kubernetes, clock, capture, progress(capture, opened, [collecting(state)]));
    return after(LOOK_MILLISECONDS);
  }
  if (state.kind === 'gone' && !opened.has('note', 'agent-silent')) await sayContact(capture, opened, state, context);
  const change = { phase: 'Sealing', ...progress(capture, opened, [collected(state, opened)]) } as const;
  return { kind: 'on', capture: await writeStatus(kubernetes, clock, capture, change) };
};

type AgentState =
  | { readonly kind: 'working'; readonly begun: boolean }
  | { readonly kind: 'silent'; readonly seconds: number }
  | { readonly kind: 'ended' }
  /** Nothing more is waited for. */
  | { readonly kind: 'gone'; readonly why: 'AgentSilent' | 'Stopped'; readonly seconds: number };

function agentState(live: LiveCapture, busy: boolean): AgentState {
  const { session, silence } = live;
  if (session?.end !== undefined) return { kind: 'ended' };
  const { stopSeconds } = live;
  const seconds = (silence ?? (busy ? 0 : live.age)) / 1000;
  if (stopSeconds !== undefined && (session === undefined || stopSeconds > FAREWELL_SECONDS))
    return { kind: 'gone', why: 'Stopped', seconds };
  if (seconds > RETURN_SECONDS) return { kind: 'gone', why: 'AgentSilent', seconds };
  if (seconds > SILENCE_SECONDS) return { kind: 'silent', seconds };
  return { kind: 'working', begun: session !== undefined };
}

async function sayContact(
  capture: NodeCapture,
  live: LiveCapture,
  { seconds }: { readonly seconds: number },
  { tell, config }: Reconciling,
): Promise<void> {
  const { node } = capture.spec;
  if (seconds <= SILENCE_SECONDS) return;
  const agent = live.session?.identity.pod ?? null;
  await live.chain.append('note', { reason: 'agent-silent', node, agent, seconds: Math.round(seconds) });
  const where = `kubectl get pods -n ${config.pod.namespace} --field-selector spec.nodeName=${node}`;
  const message = `nothing was heard of the agent on ${node} for ${Math.round(seconds)} s: ${where}`;
  tell(capture, 'Warning', 'AgentSilent', message);
}

function collecting(state: AgentState): Said {
  if (state.kind === 'silent') {
    const message = `the agent has been silent for ${Math.round(state.seconds)} s; what exists is sealed where it does not come back within ${RETURN_SECONDS} s`;
    return { type: 'Collected', status: 'False', reason: 'AgentSilent', message };
  }
  if (state.kind === 'working' && !state.begun)
    return { type: 'Collected', status: 'False', reason: 'AwaitingAgent', message: 'the agent has not begun yet' };
  return { type: 'Collected', status: 'False', reason: 'Collecting', message: 'the agent is at work' };
}

function collected(state: AgentState, live: LiveCapture): Said {
  const end = live.session?.end;
  if (state.kind === 'ended' && end?.outcome === 'complete')
    return {
      type: 'Collected',
      status: 'True',
      reason: 'Complete',
      message: 'the agent has collected all it was asked for',
    };
  if (state.kind === 'gone' && state.why === 'AgentSilent')
    return {
      type: 'Collected',
      status: 'False',
      reason: 'AgentSilent',
      message: 'the agent fell silent: what it had sent by then is kept',
    };
  const reason = end?.outcome === 'failed' ? 'AgentFailed' : 'Stopped';
  const message = end?.reason ?? live.stopping ?? 'collecting was ended before it was complete';
  return { type: 'Collected', status: 'False', reason, message };
}

function progress(capture: NodeCapture, live: LiveCapture, said: readonly Said[]) {
  const { session } = live;
  return {
    ...live.progress,
    ...(session === undefined ? {} : { session: session.number, agent: { pod: session.identity.pod, version: 'v1' } }),
    bundle: bundleOf(capture, live.chain.head),
    said,
  };
}
