// Where a replica stands: on a suspect node it neither leads nor signs, and says so where nobody else does.
import { setInterval as every } from 'node:timers/promises';
import type { NodeCapture } from '../protocol/index.ts';
import type { Said } from './reconcile/status.ts';

const ACTIVE: readonly (string | undefined)[] = [undefined, 'Pending', 'Protecting', 'Collecting', 'Sealing'];

/** Another replica takes over in a second, one that is started in some more. */
const PATIENCE_MILLISECONDS = 15_000;
const LOOK_MILLISECONDS = 1000;
const YIELDING_MILLISECONDS = 10_000;
const PREFIX = 'nobody may sign this capture';

/** Evidence is still being taken, or is to be. */
export function isActive({ status }: NodeCapture): boolean {
  return ACTIVE.includes(status?.phase);
}

/** One that was cancelled before anything was stored needs no signature: it may be ended from anywhere. */
export function suspectsOf(captures: Iterable<NodeCapture>, node: string): readonly NodeCapture[] {
  return [...captures].filter(
    (capture) =>
      capture.spec.node === node &&
      isActive(capture) &&
      !(capture.spec.cancel === true && capture.status?.bundle === undefined),
  );
}

export interface Turn {
  /** To be called each second or so. */
  look(): void;
  may(): boolean;
}

/**
 * Whether a replica may lead: one that agents do not take leaves it to others, and leads where no other has for a while,
 * since it can still hold a node and say why nothing comes of it.
 */
export function afterOthers(isTaken: () => boolean, anotherLeads: () => boolean): Turn {
  let led = performance.now();
  return {
    look() {
      if (anotherLeads()) led = performance.now();
    },
    may: () => isTaken() || performance.now() - led > YIELDING_MILLISECONDS,
  };
}

export interface Bystander {
  readonly pod: { readonly name: string; readonly node: string; readonly namespace: string };
  /** All that are known. */
  readonly captures: () => readonly NodeCapture[];
  readonly anybodyLeads: () => boolean;
  /** Conditional on what was read; what fails is tried again with the next look. */
  readonly say: (capture: NodeCapture, message: string, said: readonly Said[]) => Promise<unknown>;
  readonly signal: AbortSignal;
}

/** As long as this replica stands on a suspect node and nobody leads, what has to be done stands in the captures' status. */
export async function sayWhoIsMissing({ pod, captures, anybodyLeads, say, signal }: Bystander): Promise<void> {
  let since: number | undefined;
  try {
    for await (const _ of every(LOOK_MILLISECONDS, undefined, { signal })) {
      const waits = suspectsOf(captures(), pod.node).length > 0 && !anybodyLeads();
      since = waits ? (since ?? performance.now()) : undefined;
      if (since === undefined || performance.now() - since < PATIENCE_MILLISECONDS) continue;
      for (const capture of captures().filter(isActive)) {
        if (capture.status?.message?.startsWith(PREFIX)) continue;
        const message = advice(pod);
        await say(capture, message, saidOf(capture, message)).catch(() => undefined); // see `say`
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function saidOf({ status }: NodeCapture, message: string): readonly Said[] {
  if (status?.conditions?.some(({ type }) => type === 'Granted')) return [];
  return [{ type: 'Granted', status: 'False', reason: 'NoReplicaElsewhere', message }];
}

function advice({ name, node, namespace }: Bystander['pod']): string {
  return [
    `${PREFIX}: replica ${name} stands on node ${node}, which is suspect itself, and no other leads.`,
    'Let one run on another node:',
    `kubectl cordon ${node} && kubectl -n ${namespace} delete pod ${name};`,
    `or beside it: kubectl -n ${namespace} scale deployment/impound-controller --replicas=2;`,
    'where there are two, the other is not ready: "impound check" says why',
  ].join(' ');
}
