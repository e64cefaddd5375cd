// After the end: the node is given back when a person says so, or when the object is deleted; the evidence stays.
import { type ChainHead, ChainWriter, ImpoundError, readChain } from '../../evidence/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import { bundleStore } from '../captures/stores.ts';
import { type ReleaseOutcome, releaseHold } from '../containment/release.ts';
import { unfinalize } from './grant.ts';
import { listCaptures } from './list.ts';
import { isDeleted, type PhaseFunction, REST, type Reconciling } from './phase.ts';
import { type Said, writeStatus } from './status.ts';

export const awaitRelease: PhaseFunction = async (capture, context) => {
  const { kubernetes, clock, tell } = context;
  const { prior } = capture.status ?? {};
  if (capture.spec.release !== true && !isDeleted(capture)) return REST;
  const captures = await listCaptures(context, capture.spec.node);
  const outcome = prior === undefined ? undefined : await releaseHold(kubernetes, { capture, prior, captures });
  const head = await recordRelease(capture, context, outcome);
  const said = sayReleased(outcome);
  const { bundle } = capture.status ?? {};
  const change = {
    phase: 'Released',
    said: [said],
    ...(bundle === undefined || head === undefined ? {} : { bundle: { ...bundle, head } }),
  } as const;
  tell(capture, 'Normal', 'Released', said.message);
  return { kind: 'on', capture: await writeStatus(kubernetes, clock, capture, change) };
};

export const released: PhaseFunction = async (capture, context) =>
  isDeleted(capture) ? unfinalize(capture, context) : REST;

/** Undefined where nothing was ever stored. */
async function recordRelease(
  capture: NodeCapture,
  { config, store: all, signer, clock }: Reconciling,
  outcome: ReleaseOutcome | undefined,
): Promise<ChainHead | undefined> {
  const id = capture.status?.bundle?.id;
  if (id === undefined) return undefined;
  const store = bundleStore(all, config, capture, id);
  const entries = await readChain(store).catch((error: unknown) => {
    if (error instanceof ImpoundError && error.code === 'not-a-bundle') return undefined;
    throw error;
  });
  if (entries === undefined) return undefined;
  const actor = { kind: 'controller', name: config.pod.name, node: config.pod.node } as const;
  const chain = new ChainWriter({ store, bundle: id, signer, actor, clock, entries });
  if (!entries.some(({ statement }) => statement.predicate.action === 'release')) {
    const by = isDeleted(capture) ? 'deletion' : 'spec.release';
    await chain.append('release', { by, ...(outcome ?? { outcome: 'nothing-held' }) });
  }
  return chain.head;
}

function sayReleased(outcome: ReleaseOutcome | undefined): Said {
  const base = { type: 'Released', status: 'True' } as const;
  if (outcome === undefined) return { ...base, reason: 'NothingHeld', message: 'the node had not been changed' };
  const { node, holder, left } = outcome;
  const others = left.map(({ what }) => what).join(', ');
  const kept = others === '' ? '' : `; changed by others meanwhile and left so: ${others}`;
  if (outcome.outcome === 'handed-over')
    return {
      ...base,
      reason: 'HandedOver',
      message: `node ${node} is held on by ${holder ?? 'another capture'}${kept}`,
    };
  if (outcome.outcome === 'node-gone' || outcome.outcome === 'another-node')
    return { ...base, reason: 'NodeGone', message: `node ${node} is not there any more as it was` };
  return { ...base, reason: 'Restored', message: `node ${node} is as it was${kept}` };
}
