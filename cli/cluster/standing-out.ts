// What stands out in a capture that was just sealed, read through the controller where the person may read evidence.
import { type ChainHead, describeError, ImpoundError, within } from '../../evidence/index.ts';
import { type NodeCapture, suspectsOf } from '../../protocol/index.ts';
import type { ClusterArguments } from '../commands/cluster-options.ts';
import { type StandingOut, TRIAGED, triage } from '../triage/triage.ts';
import { type CaptureBundle, openCaptureBundle } from './capture-bundle.ts';

/** A summary is no reason to wait longer. */
const PATIENCE_MILLISECONDS = 20_000;
/** Of one table. */
const MAX_BYTES = 64 * 1024 * 1024;
const PURPOSE = 'what stands out, at the end of the capture';

export interface Triaged {
  readonly standsOut: StandingOut;
  /** The chain with the entry of this access. */
  readonly head: ChainHead;
}

/** A text where it cannot be had: why, and how it can. Never throws. */
export async function standingOut({ metadata, spec }: NodeCapture, argv: ClusterArguments): Promise<Triaged | string> {
  const pull = `pull ${metadata.name} DIR --reason …`;
  if (!spec.encryption.none) return `encrypted to its recipients: ${pull} --identity FILE`;
  const look = async (): Promise<Triaged> => {
    await using bundle = await openCaptureBundle(metadata.name, argv);
    return await triageOf(bundle, spec);
  };
  try {
    return await within(look(), PATIENCE_MILLISECONDS, () => {
      throw new Error(`not within ${PATIENCE_MILLISECONDS / 1000} s`);
    });
  } catch (error) {
    if (error instanceof ImpoundError && error.code === 'api-denied')
      return `for whoever may read evidence (ClusterRole impound-analyst): ${pull}`;
    return `not read: ${describeError(error)}`;
  }
}

async function triageOf({ store, record }: CaptureBundle, spec: NodeCapture['spec']): Promise<Triaged> {
  const head = await record(PURPOSE, TRIAGED);
  const { look, standsOut } = triage(suspectsOf(spec));
  for (const path of TRIAGED) {
    const take = look(path);
    try {
      for await (const chunk of store.read(path, { end: MAX_BYTES })) take?.(chunk);
    } catch (error) {
      // a table that this node does not have
      if (!(error instanceof ImpoundError && error.code === 'object-missing')) throw error;
    }
  }
  return { standsOut: standsOut(), head };
}
