// What was asked for and is not so: a hold that was refused, or undone meanwhile, and what this version does not do. Each is
// a declared gap.
import type { GapGroup } from '../../evidence/index.ts';
import type { NodeCapture, NodeCaptureSpec } from '../../protocol/index.ts';
import type { LiveCapture } from '../captures/live.ts';
import { type HoldOutcome, verifyHold } from '../containment/hold.ts';
import { listCaptures } from './list.ts';
import type { Reconciling } from './phase.ts';
import type { Said } from './status.ts';

/** Stands for what the controller does itself, beside its collectors. */
const CONTROLLER = 'controller';

interface Unmet {
  readonly reason: GapGroup['reason'];
  readonly name: string;
  readonly detail: string;
}

/** Before the seal, once. */
export async function declareUnmet(capture: NodeCapture, live: LiveCapture, context: Reconciling): Promise<void> {
  if (live.ended(CONTROLLER) || live.has('close')) return;
  const unmet = [...unsupported(capture.spec), ...(await notHeld(capture, live, context))];
  if (unmet.length === 0) return;
  const common = { collector: CONTROLLER, session: 1 };
  const gaps = unmet.map(
    ({ reason, name, detail }): GapGroup => ({ ...common, reason, detail, count: 1, names: [name] }),
  );
  await live.chain.append('collect', { artefacts: [], ended: [{ ...common, outcome: 'partial', seconds: 0, gaps }] });
}

/** Conditions that say at once what will not come. */
export function sayUnsupported(spec: NodeCaptureSpec): readonly Said[] {
  return unsupported(spec).flatMap(({ name, detail }) => {
    const type = CONDITIONS[name];
    return type === undefined ? [] : [{ type, status: 'False' as const, reason: 'Unsupported', message: detail }];
  });
}

const CONDITIONS: Readonly<Record<string, Said['type']>> = {
  'spec.isolate': 'Isolated',
  'spec.disks': 'DisksCaptured',
};

function unsupported({ isolate, disks, removePods = [] }: NodeCaptureSpec): readonly Unmet[] {
  const asked = [
    ...(isolate.when === 'never' ? [] : [['spec.isolate', 'cuts nothing off']]),
    ...(disks.mode === 'none' ? [] : [['spec.disks', 'takes no snapshots; images of disks are in profile full']]),
    ...(removePods.length === 0 ? [] : [['spec.removePods', 'removes no pods']]),
  ];
  return asked.map(([name = '', what = '']) => ({
    reason: 'unsupported',
    name,
    detail: `${name} was asked for, and this version ${what}: do it by hand`,
  }));
}

async function notHeld(capture: NodeCapture, live: LiveCapture, context: Reconciling): Promise<readonly Unmet[]> {
  const { node } = capture.spec;
  const { prior } = capture.status ?? {};
  const entry = live.find('protect');
  if (prior === undefined || entry === undefined)
    return [
      { reason: 'skipped', name: `node ${node}`, detail: 'it was gone, or not wanted any more, before it was held' },
    ];
  const { refused } = entry.predicate.details as unknown as HoldOutcome;
  const verify = (captures: readonly NodeCapture[]) =>
    verifyHold(context.kubernetes, { capture, prior, captures }, { refused });
  const alone = await verify([capture]);
  // another capture's mark is as good
  const check = alone.stands ? alone : await verify(await listCaptures(context, node));
  if (!check.stands) await live.chain.append('note', { reason: 'hold-undone', ...check });
  return [
    ...refused.map(({ what, detail }): Unmet => ({ reason: 'skipped', name: `${what} of node ${node}`, detail })),
    ...(check.stands
      ? []
      : [
          {
            reason: 'failed' as const,
            name: `hold of node ${node}`,
            detail: 'somebody changed it while it was held: the note hold-undone of the chain has what was found',
          },
        ]),
  ];
}
