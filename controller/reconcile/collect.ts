// Collecting: the agent works; here is watched how far it is, whether it is still heard, and when it is enough.
import { type NodeCapture, SILENCE_SECONDS } from '../../protocol/index.ts';
import type { LiveCapture } from '../captures/live.ts';
import type { Deaf } from '../hearing.ts';
import { DEADLINE, secondsLeft } from './deadline.ts';
import { after, isUnwanted, type PhaseFunction, type Reconciling } from './phase.ts';
import { bundleOf, CLOSED } from './protect.ts';
import { type Said, writeStatus } from './status.ts';

/** A silent agent's pod may come back as another: for so long, its silence included, the bundle is left open for it. */
const RETURN_SECONDS = 60;
/** An agent says something each five seconds: before, nothing is wrong. */
const QUIET_SECONDS = 6;
/** An agent that was told to stop, or that is at its last artefact, gets so long; so does the survey. */
const FAREWELL_SECONDS = 20;
const LOOK_MILLISECONDS = 1000;
/** Artefacts come by the dozen: counting them out loud is worth no more than this. */
const COUNT_MILLISECONDS = 2000;

const SILENT = 'agent-silent';
const BACK = 'agent-heard-again';

export const collect: PhaseFunction = async (capture, context) => {
  const { clock, desk, live, kubernetes } = context;
  const { spec } = capture;
  const uid = capture.metadata.uid ?? '';
  const opened = await live.open(capture);
  if (opened.has('close')) return { kind: 'on', capture: await writeStatus(kubernetes, clock, capture, CLOSED) };
  const left = secondsLeft(capture, clock);
  if (isUnwanted(capture)) opened.stop(spec.cancel === true ? 'cancelled' : 'released or deleted');
  else if (left <= 0) opened.stop(DEADLINE);
  // also one that is to stop: its agent asks, and hears it
  desk.offer(uid, spec.node, opened, Math.max(0, left));
  if (live.isAgentBusy(spec.node, uid)) opened.contact.excuse();
  if ((opened.stopSeconds ?? 0) > FAREWELL_SECONDS) live.endSurvey(uid);
  const surveyed = live.survey(capture);
  await opened.recordRefusals();
  const state = agentState(opened, context);
  await recordContact(capture, opened, state, context);
  if (surveyed && (state.kind === 'ended' || state.kind === 'gone')) {
    const said = collected(state, opened);
    const change = { phase: 'Sealing', message: said.message, ...progress(capture, opened, said) } as const;
    return { kind: 'on', capture: await writeStatus(kubernetes, clock, capture, change) };
  }
  const said = collecting(state);
  if (isNews(capture, opened, said)) {
    await writeStatus(kubernetes, clock, capture, { message: said.message, ...progress(capture, opened, said) });
    counted.set(opened, performance.now());
  }
  return after(LOOK_MILLISECONDS);
};

type AgentState =
  | { readonly kind: 'working'; readonly begun: boolean; readonly seconds: number }
  /** `deaf`: for this reason, as far as is known here, so that it is waited for. */
  | { readonly kind: 'silent'; readonly seconds: number; readonly deaf: Deaf | undefined }
  | { readonly kind: 'ended'; readonly seconds: number }
  /** Nothing more is waited for. */
  | { readonly kind: 'gone'; readonly why: 'AgentSilent' | 'Stopped'; readonly seconds: number };

function agentState(live: LiveCapture, { deaf: reasonOf }: Reconciling): AgentState {
  const { session, stopSeconds, node } = live;
  const seconds = live.contact.silence / 1000;
  if (live.agentDone) return { kind: 'ended', seconds };
  if (stopSeconds !== undefined && (session === undefined || stopSeconds > FAREWELL_SECONDS))
    return { kind: 'gone', why: 'Stopped', seconds };
  const deaf = seconds > QUIET_SECONDS ? reasonOf(node) : undefined;
  if (deaf !== undefined) live.contact.pardon();
  const unexcused = live.contact.unexcused / 1000;
  if (unexcused > RETURN_SECONDS) return { kind: 'gone', why: 'AgentSilent', seconds };
  if (seconds > SILENCE_SECONDS || deaf !== undefined) return { kind: 'silent', seconds, deaf };
  return { kind: 'working', begun: session !== undefined, seconds };
}

/** The chain says once when the agent falls silent, and once when it is heard again. */
async function recordContact(
  capture: NodeCapture,
  live: LiveCapture,
  state: AgentState,
  { tell, config, clock }: Reconciling,
): Promise<void> {
  const { kind, seconds } = state;
  const deaf = state.kind === 'silent' ? state.deaf : undefined;
  const { node } = capture.spec;
  const known = live.lastOf('note', SILENT) > live.lastOf('note', BACK);
  const agent = live.session?.identity.pod ?? null;
  if (known && (kind === 'working' || kind === 'ended')) {
    if (!live.contact.heardHere) return; // a replica that has just come takes it for heard so that it has its time
    await live.chain.append('note', { reason: BACK, node, agent });
    tell(capture, 'Normal', 'AgentBack', `the agent on ${node} was heard again`);
  }
  if (known || seconds <= SILENCE_SECONDS || kind === 'working' || kind === 'ended') return;
  const since = new Date(clock.now().getTime() - seconds * 1000).toISOString();
  const cause = deaf === undefined ? {} : { cause: deaf.reason };
  await live.chain.append('note', { reason: SILENT, node, agent, since, seconds: Math.round(seconds), ...cause });
  if (deaf !== undefined) return tell(capture, 'Warning', deaf.reason, deaf.message);
  const where = `kubectl get pods -n ${config.pod.namespace} --field-selector spec.nodeName=${node}`;
  const message = `nothing was heard of the agent on ${node} for ${Math.round(seconds)} s: ${where}`;
  tell(capture, 'Warning', 'AgentSilent', message);
}

function collecting(state: AgentState): Said {
  const base = { type: 'Collected', status: 'False' } as const;
  if (state.kind === 'silent') {
    if (state.deaf !== undefined) return { ...base, ...state.deaf };
    const message = `nothing is heard of the agent; what exists is sealed where it does not come back within ${RETURN_SECONDS} s of silence`;
    return { ...base, reason: 'AgentSilent', message };
  }
  if (state.kind === 'working' && !state.begun)
    return { ...base, reason: 'AwaitingAgent', message: 'the agent has not begun yet' };
  if (state.kind === 'working') return { ...base, reason: 'Collecting', message: 'the agent is at work' };
  return { ...base, reason: 'AwaitingSurvey', message: 'the agent has ended; the cluster itself is still being asked' };
}

/** When the counts were last written. */
const counted = new WeakMap<LiveCapture, number>();

/** Anything but the counts is written at once. */
function isNews({ status }: NodeCapture, live: LiveCapture, said: Said): boolean {
  const before = status?.conditions?.find(({ type }) => type === said.type);
  const same = before?.reason === said.reason && status?.message === said.message;
  const sameAgent = status?.session === live.session?.number && status?.agent?.pod === live.session?.identity.pod;
  return !same || !sameAgent || performance.now() - (counted.get(live) ?? 0) >= COUNT_MILLISECONDS;
}

function collected(state: AgentState, live: LiveCapture): Said {
  const end = live.session?.end;
  const base = { type: 'Collected', status: 'False' } as const;
  if (state.kind === 'ended' && end?.outcome === 'complete') return { ...base, status: 'True', ...completed(live) };
  if (state.kind === 'gone' && state.why === 'AgentSilent') {
    const message =
      live.session === undefined
        ? 'no agent began on the node: what the cluster says of it is all there is'
        : 'the agent fell silent: what it had sent by then is kept';
    return { ...base, reason: 'AgentSilent', message };
  }
  if (end?.outcome === 'failed')
    return { ...base, reason: 'AgentFailed', message: end.reason ?? 'the agent failed, and did not say why' };
  const message = live.stopping ?? 'collecting was ended before it was complete';
  return { ...base, reason: message === DEADLINE ? 'DeadlinePassed' : 'Stopped', message };
}

const GIVEN_UP: ReadonlySet<string | undefined> = new Set(['failed', 'timeout', 'aborted']);

/** Names what was given up: the agent itself may be done all the same. */
function completed({ progress: { collectors } }: LiveCapture): Pick<Said, 'reason' | 'message'> {
  const without = collectors.filter(({ outcome }) => GIVEN_UP.has(outcome));
  if (without.length === 0) return { reason: 'Complete', message: 'the agent has collected all it was asked for' };
  const names = without.map(({ name, outcome }) => `${name} (${outcome})`).join(', ');
  return { reason: 'Incomplete', message: `the agent has collected all it was asked for, but ${names}` };
}

function progress(capture: NodeCapture, live: LiveCapture, said: Said) {
  const { session } = live;
  return {
    ...live.progress,
    ...(session === undefined ? {} : { session: session.number, agent: { pod: session.identity.pod, version: 'v1' } }),
    bundle: bundleOf(capture, live.chain.head),
    said: [said],
  };
}
