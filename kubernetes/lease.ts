// Which one of several replicas leads, by a Lease: https://kubernetes.io/docs/concepts/architecture/leases/
import { setTimeout as sleep } from 'node:timers/promises';
import { type Clock, describeError, ImpoundError, type Logger, systemClock } from '../evidence/index.ts';
import { type Claim, momentOf, openClaim } from './claim.ts';
import { ADDRESS_ANNOTATION, type LeaseOptions, leaseWriter } from './lease-record.ts';
import { type Leader, openLeaseView } from './lease-view.ts';
import { serve } from './tenure.ts';

export interface Taken {
  /** Who held it before, where that was another that had not released it. */
  readonly previous: string | undefined;
  /** The note of one who gave it up deliberately. */
  readonly steppedDown: string | undefined;
}

export interface ElectOptions extends Omit<LeaseOptions, 'annotations' | 'leaseMilliseconds' | 'now'> {
  /** Written by the holder; `impound.dev/address` is where it is reached: "https://IP:PORT". */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly log: Logger;
  /** When it aborts, the lease is released and `ended` resolves. */
  readonly signal: AbortSignal;
  /**
   * Runs while we lead. Its signal aborts when that is over, and nothing may be written then; another may lead from
   * some seconds later on (lease less renewal time), or at once when this has ended. We contend again only then.
   */
  led(signal: AbortSignal, taken: Taken): Promise<void>;
  /** While it answers false we do not contend. It does not end what has begun: `stepDown` does. */
  mayLead?(): boolean;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** How long others leave a record alone that does not change: 15 s where absent. */
  readonly leaseMilliseconds?: number;
  /** How long we lead without a renewal: 10 s where absent; less than the lease by more than requests take to settle. */
  readonly renewMilliseconds?: number;
  /** Between renewals: 2 s where absent. Followers look twice as often. */
  readonly retryMilliseconds?: number;
}

export interface Election {
  /** True of this very moment, by the clock, also right after this process had been stopped: asked before each write. */
  isLeader(): boolean;
  /** By the record that was read last, or ourselves; undefined where nobody is known to lead. */
  leader(): Leader | undefined;
  /**
   * Gives the lease up, with `note` for the next holder, and does not contend for so many milliseconds, or until
   * `until` answers true. Resolves when it is free for others, or is left to lapse. Never rejects.
   */
  stepDown(until: number | (() => boolean), note: string): Promise<void>;
  /** Never rejects. */
  readonly ended: Promise<void>;
}

/** Throws `usage` where the times do not fit each other. */
export function elect(options: ElectOptions): Election {
  const { log, signal, identity, annotations = {}, mayLead = () => true } = options;
  const { clock = systemClock, random = Math.random } = options;
  const { leaseMilliseconds = 15_000, renewMilliseconds = 10_000, retryMilliseconds = 2000 } = options;
  if (!(retryMilliseconds * 2 <= renewMilliseconds && renewMilliseconds < leaseMilliseconds)) {
    const message = 'a lease must last longer than its renewal time, and that twice as long as a retry';
    throw new ImpoundError('usage', message, { operation: 'elect', thing: options.name });
  }
  const requestMilliseconds = renewMilliseconds / 2;
  const now = (): Date => clock.now();
  const lease = leaseWriter({ ...options, annotations, leaseMilliseconds, now });
  const view = openLeaseView(identity, leaseMilliseconds);
  let mayAgain = (): boolean => true;
  let current: { readonly claim: Claim; readonly freed: Promise<void> } | undefined;
  let attempt: Promise<unknown> = Promise.resolve();

  const allowed = (): boolean => !signal.aborted && mayAgain() && mayLead();

  /** One look at the lease; what is to be done when it has become ours. */
  const contend = async (): Promise<(() => Promise<void>) | undefined> => {
    const asked = performance.now();
    const before = await lease.read({ milliseconds: requestMilliseconds, signal });
    if (!view.saw(before, asked) || !allowed()) return undefined;
    const sent = momentOf(now);
    // not given up when we stop: it might be granted, and nobody would release it
    const record = await lease.take(before, { milliseconds: requestMilliseconds });
    view.saw(record, sent.monotonic);
    const claim = openClaim(sent, renewMilliseconds, now);
    const { promise, resolve } = Promise.withResolvers<void>();
    current = { claim, freed: promise };
    // asked again: minds may have changed meanwhile
    if (!allowed()) claim.giveUp('it may not lead');
    const previous = before?.holder === identity ? undefined : before?.holder;
    if (claim.holds()) log.info('leads', { identity, previous, transitions: record.transitions });
    const work = (over: AbortSignal): Promise<void> =>
      options.led(over, { previous, steppedDown: before?.steppedDown });
    const tenure = { claim, record, lease, view, identity, log, retryMilliseconds, requestMilliseconds, now };
    return () => serve({ ...tenure, work, released: resolve });
  };

  const run = async (): Promise<void> => {
    let failures = 0;
    const stop = (): void => current?.claim.giveUp('it is stopping');
    signal.addEventListener('abort', stop, { once: true });
    while (!signal.aborted) {
      let wait = retryMilliseconds / 2;
      try {
        const won = contend();
        attempt = won.catch(() => undefined);
        await (await won)?.();
        // who gave it up lets the others go first
        if (current?.claim.ending?.deliberate) wait = retryMilliseconds * 2;
        current = undefined;
        if (failures > 0) log.info('the lease is read again', { failures });
        failures = 0;
      } catch (error) {
        if (signal.aborted) break;
        const code = error instanceof ImpoundError ? error.code : undefined;
        // another was faster, which is what a lease is for
        if (code !== 'api-conflict' && failures++ % 10 === 0)
          log.warn('the lease was neither read nor taken', { code, error: describeError(error), failures });
      }
      await sleep(wait * (0.8 + random() * 0.4), undefined, { signal }).catch(() => undefined); // the loop sees it
    }
  };

  const isLeader = (): boolean => current?.claim.holds() ?? false;
  return {
    isLeader,
    leader: () => (isLeader() ? { identity, address: annotations[ADDRESS_ANNOTATION] } : view.leader()),
    async stepDown(until, note) {
      const end = typeof until === 'number' ? performance.now() + until : undefined;
      mayAgain = typeof until === 'number' ? () => performance.now() >= (end ?? 0) : until;
      current?.claim.giveUp('it stepped down', note);
      await attempt; // a lease that is being taken at this moment
      current?.claim.giveUp('it stepped down', note);
      await current?.freed;
    },
    ended: run(),
  };
}
