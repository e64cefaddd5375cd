// Sealing: nothing more is taken; what there is of the evidence is closed and signed.
import { closeOutcome } from '../captures/outcome.ts';
import { after, type PhaseFunction } from './phase.ts';
import { bundleOf } from './protect.ts';
import { type Said, writeStatus } from './status.ts';
import { declareUnmet } from './unmet.ts';

export const seal: PhaseFunction = async (capture, context) => {
  const { kubernetes, clock, desk, live, config, tell } = context;
  const uid = capture.metadata.uid ?? '';
  desk.withdraw(uid);
  const opened = await live.open(capture);
  // what another replica granted may be sent until it lapses: here is not known what that is
  const outstanding = opened.resumed && !opened.has('close') ? config.agents.grantSeconds * 1000 - opened.age : 0;
  if (outstanding > 0) {
    opened.close();
    const message = 'waiting until nothing more can be sent of what was granted before';
    await writeStatus(kubernetes, clock, capture, { message });
    return after(outstanding);
  }
  await declareUnmet(capture, opened, context);
  const complete = opened.session?.end?.outcome === 'complete';
  const gaps = live.surveyGaps(uid);
  const head = await opened.seal(complete ? 'complete' : 'aborted', gaps, footprintOf(capture.spec.node));
  const phase =
    capture.spec.cancel === true && closeOutcome(opened.chain.statements) !== 'complete' ? 'Cancelled' : 'Sealed';
  const message = `impound verify ${capture.metadata.name} --head ${head.sequence}:${head.sha256} --key PUBLIC-KEY`;
  const said: Said = {
    type: 'Sealed',
    status: 'True',
    reason: 'Sealed',
    message: `entry ${head.sequence} closes the chain`,
  };
  const change = {
    phase,
    ...opened.progress,
    bundle: bundleOf(capture, head),
    sealedAt: clock.now().toISOString(),
    message,
    said: [said],
  } as const;
  const written = await writeStatus(kubernetes, clock, capture, change);
  live.forget(uid);
  tell(capture, 'Normal', phase, `${opened.progress.artefacts} artefacts, chain head ${head.sequence}:${head.sha256}`);
  return { kind: 'on', capture: written };
};

/** What capturing changed beside what the agent says of itself. */
function footprintOf(node: string): readonly object[] {
  return [{ kind: 'note', name: `node ${node}`, detail: 'held and cordoned: see the protect entry of the chain' }];
}
