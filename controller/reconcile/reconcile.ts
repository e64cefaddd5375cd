// From a capture's name to what is to be done about it: one function a phase, in the order of a capture's way.
import { describeError, type ErrorCode, ImpoundError } from '../../evidence/index.ts';
import type { Done } from '../../kubernetes/index.ts';
import type { NodeCapture, NodeCapturePhase } from '../../protocol/index.ts';
import { collect } from './collect.ts';
import { secondsLeft } from './deadline.ts';
import { grant } from './grant.ts';
import type { PhaseFunction, Reconciling } from './phase.ts';
import { protect } from './protect.ts';
import { awaitRelease, released } from './release.ts';
import { seal } from './seal.ts';
import { writeStatus } from './status.ts';

const PHASES: Readonly<Record<NodeCapturePhase, PhaseFunction>> = {
  Pending: grant,
  Protecting: protect,
  Collecting: collect,
  Sealing: seal,
  Sealed: awaitRelease,
  Cancelled: awaitRelease,
  Failed: awaitRelease,
  Released: released,
};

/** Trying again changes nothing about these. */
const FINAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'usage',
  'key-unsuitable',
  'chain-broken',
  'entry-invalid',
  'store-unsuitable',
  'store-unlocked',
]);
/** What the store does not give back for so long after the deadline is given up. */
const LATE_SECONDS = 600;

/** `isLeader` is asked before each step: a replica that has lost the lease writes nothing more. */
export async function reconcile(
  found: NodeCapture,
  context: Reconciling,
  isLeader: () => boolean,
): Promise<Done | undefined> {
  let capture = found;
  while (isLeader()) {
    const phase = capture.status?.phase ?? 'Pending';
    try {
      const next = await PHASES[phase](capture, context);
      if (next.kind === 'after') return { after: next.milliseconds };
      if (next.kind === 'rest') return undefined;
      context.log.info('goes on', { capture: capture.metadata.name, phase: next.capture.status?.phase });
      capture = next.capture;
    } catch (error) {
      if (!isLeader()) return undefined;
      return failed(capture, phase, error, context);
    }
  }
  return undefined;
}

async function failed(
  capture: NodeCapture,
  phase: NodeCapturePhase,
  error: unknown,
  context: Reconciling,
): Promise<Done | undefined> {
  const { kubernetes, clock, live, desk, tell, log } = context;
  const code = error instanceof ImpoundError ? error.code : 'internal';
  if (code === 'api-conflict') throw error; // somebody wrote: it is read again
  const isCapturing = phase === 'Protecting' || phase === 'Collecting' || phase === 'Sealing';
  const hopeless = FINAL.has(code) || secondsLeft(capture, clock) < -LATE_SECONDS;
  const message = `${phase}: ${describeError(error)} [${code}]`;
  const uid = capture.metadata.uid ?? '';
  if (!(isCapturing && hopeless)) {
    // of another's pen: the chain is read anew, and what is left to do is done
    if (code === 'bundle-sealed') live.forget(uid);
    const change = code === 'bundle-sealed' && isCapturing ? ({ phase: 'Sealing', message } as const) : { message };
    // each write brings the capture back at once: the same failure in other words would be tried again without a pause
    const before = capture.status?.message ?? '';
    const known = before.startsWith(`${phase}: `) && before.endsWith(` [${code}]`);
    if (!known) await writeStatus(kubernetes, clock, capture, change).catch(() => undefined); // the error itself is thrown
    throw error;
  }
  log.error('a capture has failed', { capture: capture.metadata.name, code, error: describeError(error) });
  const { bundle } = capture.status ?? {};
  const head = live.get(uid)?.chain.head;
  desk.withdraw(uid);
  live.forget(uid);
  const said = [{ type: 'Sealed', status: 'False', reason: 'Failed', message }] as const;
  const ended = bundle === undefined || head === undefined ? {} : { bundle: { ...bundle, head } };
  await writeStatus(kubernetes, clock, capture, { phase: 'Failed', message, said, ...ended });
  tell(capture, 'Warning', 'Failed', message);
  return undefined;
}
