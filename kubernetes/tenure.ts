// The time that we lead: the lease is renewed, the work runs, and at its end the lease is given back.
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, ImpoundError, type Logger, within } from '../evidence/index.ts';
import { type Claim, type Moment, momentOf } from './claim.ts';
import type { LeaseRecord, LeaseWriter } from './lease-record.ts';
import type { LeaseView } from './lease-view.ts';

export interface Tenure {
  readonly claim: Claim;
  readonly record: LeaseRecord;
  readonly lease: LeaseWriter;
  readonly view: LeaseView;
  readonly identity: string;
  readonly log: Logger;
  readonly retryMilliseconds: number;
  /** Of each request: less than the claim holds without a renewal. */
  readonly requestMilliseconds: number;
  now(): Date;
  work(signal: AbortSignal): Promise<void>;
  /** Called when the lease is free for others, or was left to lapse. */
  released(): void;
}

/** Ends when we lead no more and the work has ended. Never rejects. */
export async function serve(tenure: Tenure): Promise<void> {
  const { claim, log } = tenure;
  const work = claim.holds() ? workOf(tenure) : Promise.resolve();
  const last = await renewWhileItHolds(tenure);
  const { reason, deliberate, note } = claim.ending ?? { reason: 'it ended', deliberate: false, note: undefined };
  log.info('leads no more', { identity: tenure.identity, reason, note });
  // released while the work still runs, two would do it at once
  const patience = deliberate ? claim.remaining() : tenure.requestMilliseconds;
  const ends = work.then(() => true);
  if (!(await within(ends, patience, () => false))) log.warn("the leader's work does not end", { reason });
  else if (deliberate) await release(tenure, last, note);
  tenure.released();
  await work;
}

async function workOf({ claim, log, work }: Tenure): Promise<void> {
  try {
    await work(claim.signal);
    claim.giveUp('its work has ended');
  } catch (error) {
    if (claim.holds()) log.error("the leader's work failed", { error: describeError(error) });
    else log.debug("the leader's work broke off", { error: describeError(error) });
    claim.giveUp('its work failed');
  }
}

async function renewWhileItHolds(tenure: Tenure): Promise<LeaseRecord> {
  const { claim, lease, view, identity, log } = tenure;
  let last = tenure.record;
  let failures = 0;

  const renew = async (sent: Moment, record: LeaseRecord): Promise<void> => {
    last = await lease.renew(record, limitOf(tenure));
    claim.renewed(sent);
    view.saw(last, sent.monotonic);
    if (failures > 0) log.info('the lease is renewed again', { failures });
    failures = 0;
  };
  /** Somebody wrote: a person an annotation, we ourselves by a renewal whose answer was lost, or another leads. */
  const reread = async (): Promise<void> => {
    const sent = momentOf(tenure.now);
    const record = await lease.read(limitOf(tenure));
    view.saw(record, sent.monotonic);
    if (record?.holder === identity) await renew(sent, record);
    else claim.lose(record === undefined ? 'the lease was deleted' : 'another holds the lease');
  };

  while (claim.holds()) {
    await sleep(tenure.retryMilliseconds, undefined, { signal: claim.signal }).catch(() => undefined); // ended: seen next
    try {
      if (claim.holds()) await renew(momentOf(tenure.now), last).catch((error) => onConflict(error, reread));
    } catch (error) {
      const code = error instanceof ImpoundError ? error.code : undefined;
      if (code === 'api-missing') claim.lose('the lease was deleted');
      else if (claim.holds())
        log.warn('the lease was not renewed', { code, error: describeError(error), failures: ++failures });
    }
  }
  return last;
}

async function onConflict(error: unknown, then: () => Promise<void>): Promise<void> {
  if (!(error instanceof ImpoundError && error.code === 'api-conflict')) throw error;
  await then();
}

function limitOf({ claim, requestMilliseconds }: Tenure): { milliseconds: number; signal: AbortSignal } {
  return { milliseconds: Math.max(1, Math.min(requestMilliseconds, claim.remaining())), signal: claim.signal };
}

async function release(tenure: Tenure, last: LeaseRecord, note: string | undefined): Promise<void> {
  const { lease, view, log, identity, requestMilliseconds: milliseconds } = tenure;
  const asked = performance.now();
  try {
    // a renewal that was broken off may have been written
    const record = await lease.read({ milliseconds });
    if (record?.holder !== identity) return;
    view.saw(await lease.release(record, note, { milliseconds }), asked);
  } catch (error) {
    log.warn('the lease was not released: it lapses', {
      note,
      last: last.resourceVersion,
      error: describeError(error),
    });
  }
}
