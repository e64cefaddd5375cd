// Pending: what is wrong with the request is said before anything is stored; then its bundle gets its name, for good.
import { bundleId, describeError, parseRecipients } from '../../evidence/index.ts';
import { FINALIZER, type NodeCapture, parseNodeCapture } from '../../protocol/index.ts';
import { bundleStore } from '../captures/stores.ts';
import { TURN_MILLISECONDS } from '../turns.ts';
import { after, isDeleted, isUnwanted, type Next, type PhaseFunction, REST, type Reconciling } from './phase.ts';
import { CAPTURES, writeStatus } from './status.ts';

export const grant: PhaseFunction = async (capture, context) => {
  if (isDeleted(capture)) return unfinalize(capture, context);
  if (isUnwanted(capture)) {
    const message = 'it was cancelled before anything was stored';
    return ended(capture, context, 'Cancelled', 'CancelledBeforeGrant', message);
  }
  const { turns } = context;
  if (!turns.mayGoOn(capture)) return after(TURN_MILLISECONDS);
  return turns.first(capture, () => begin(capture, context));
};

async function begin(capture: NodeCapture, context: Reconciling): Promise<Next> {
  const { kubernetes, clock, config, live } = context;
  const wrong = await wrongWith(capture, context);
  if (wrong !== undefined) return ended(capture, context, 'Failed', wrong.reason, wrong.message);
  const held = await finalize(capture, context);
  const now = clock.now();
  const id = bundleId(now);
  const { url } = bundleStore(context.store, config, capture, id);
  const startedAt = now.toISOString();
  const message = 'the grant is being stored, and the node held';
  const change = { phase: 'Protecting', bundle: { id, url }, startedAt, message } as const;
  const named = await writeStatus(kubernetes, clock, held, change);
  live.named(id);
  return { kind: 'on', capture: named };
}

/** Nothing holds the object any more. */
export async function unfinalize(capture: NodeCapture, { kubernetes }: Reconciling): Promise<Next> {
  const { name, finalizers = [], resourceVersion } = capture.metadata;
  if (!finalizers.includes(FINALIZER)) return REST;
  const left = finalizers.filter((one) => one !== FINALIZER);
  await kubernetes.patch(`${CAPTURES}/${name}`, 'merge', { metadata: { resourceVersion, finalizers: left } });
  return REST;
}

async function finalize(capture: NodeCapture, { kubernetes }: Reconciling): Promise<NodeCapture> {
  const { name, finalizers = [], resourceVersion } = capture.metadata;
  if (finalizers.includes(FINALIZER)) return capture;
  const metadata = { resourceVersion, finalizers: [...finalizers, FINALIZER] };
  return parseNodeCapture(await kubernetes.patch(`${CAPTURES}/${name}`, 'merge', { metadata }));
}

async function wrongWith(
  { spec }: NodeCapture,
  { nodeUid }: Reconciling,
): Promise<{ readonly reason: string; readonly message: string } | undefined> {
  if ((await nodeUid(spec.node)) === undefined)
    return { reason: 'NodeMissing', message: `there is no node ${spec.node}: "kubectl get nodes" lists them` };
  try {
    if (spec.encryption.recipients !== undefined) await parseRecipients(spec.encryption.recipients);
  } catch (error) {
    return { reason: 'RecipientsInvalid', message: `spec.encryption.recipients: ${describeError(error)}` };
  }
  return undefined;
}

async function ended(
  capture: NodeCapture,
  { kubernetes, clock, tell }: Reconciling,
  phase: 'Failed' | 'Cancelled',
  reason: string,
  message: string,
): Promise<Next> {
  const said = [{ type: 'Granted', status: 'False', reason, message }] as const;
  const written = await writeStatus(kubernetes, clock, capture, { phase, message, said });
  tell(capture, phase === 'Failed' ? 'Warning' : 'Normal', reason, message);
  return { kind: 'on', capture: written };
}
