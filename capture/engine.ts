// Runs collectors in order of volatility, a bounded number at once, each with its deadline, and loses none of the rest
// when one fails.
import {
  Channel,
  type Clock,
  type CollectorOutcome,
  type Custodian,
  type GapGroup,
  type Logger,
} from '../evidence/index.ts';
import { type CollectContext, type Collector, gap, type Phase } from './collector.ts';
import { GapLog } from './gaps.ts';
import { runCollector } from './run-collector.ts';

/** Collectors at once: enough to keep two cores and a disk busy while an engine or a time-out is waited for. */
const CONCURRENCY = 4;

/** What a person or a log sees of a running capture. */
export type CaptureEvent =
  | { readonly kind: 'started'; readonly collector: string }
  | { readonly kind: 'stored'; readonly collector: string; readonly bytes: number }
  | { readonly kind: 'ended'; readonly collector: string; readonly result: CollectorResult };

export interface CollectorResult {
  readonly collector: string;
  readonly outcome: CollectorOutcome;
  readonly seconds: number;
  readonly artefacts: number;
  /** Stored bytes. */
  readonly bytes: number;
  readonly gaps: readonly GapGroup[];
}

export interface CaptureOptions<Context extends CollectContext> {
  /** Those to run, in any order. */
  readonly collectors: readonly Collector<Context>[];
  /** Named as left out on request: each becomes a declared gap. */
  readonly skipped: readonly Collector<Context>[];
  /** Widens the engine's context to what these collectors need. */
  readonly context: (base: CollectContext, collector: Collector<Context>) => Context;
  readonly custodian: Custodian;
  readonly session: number;
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly clock: Clock;
  readonly observe: (event: CaptureEvent) => void;
}

/** One result a collector. Throws only where the store or the chain failed: nothing more can be kept then. */
export async function runCapture<Context extends CollectContext>(
  options: CaptureOptions<Context>,
): Promise<readonly CollectorResult[]> {
  const results: CollectorResult[] = [];
  const failure = new AbortController();
  const signal = AbortSignal.any([options.signal, failure.signal]);
  const phases: Channel<string>[] = [];
  const toEnd = async (collector: Collector<Context>, phaseNames: Channel<string>, release: () => void) => {
    options.observe({ kind: 'started', collector: collector.name });
    try {
      const result = await runCollector({ ...options, signal }, collector, phaseNames, release);
      results.push(result);
      options.observe({ kind: 'ended', collector: collector.name, result });
    } catch (error) {
      failure.abort(error);
      throw error;
    }
  };
  const run = (collector: Collector<Context>, phaseNames: Channel<string>): Run => {
    const released = Promise.withResolvers<void>();
    const ending = toEnd(collector, phaseNames, released.resolve).finally(released.resolve);
    ending.catch(() => undefined); // met below: it may fail long before it is waited for
    return { ended: ending, released: released.promise };
  };
  for (const collector of options.skipped) results.push(await declareSkipped(options, collector));

  const throughout = inPhase(options.collectors, 'throughout').map((collector) => {
    const names = new Channel<string>(64);
    phases.push(names);
    return run(collector, names).ended;
  });
  const settled = Promise.allSettled(throughout); // at once: one may fail long before it is waited for
  const failures: unknown[] = [];
  const running: Promise<void>[] = [];
  try {
    for (const phase of ['volatile', 'bulk'] as const) {
      const collectors = inPhase(options.collectors, phase);
      if (collectors.length === 0) continue;
      for (const names of phases) await names.push(phase);
      await inOrder(collectors, (collector) => {
        const { ended: ending, released } = run(collector, ended());
        running.push(ending);
        return released;
      });
      // where the store has failed nothing more is begun
      if (signal.aborted && !options.signal.aborted) break;
    }
  } catch (error) {
    failures.push(error);
  }
  for (const ending of await Promise.allSettled(running))
    if (ending.status === 'rejected') failures.push(ending.reason);
  for (const names of phases) {
    await names.push('end');
    names.end();
  }
  for (const ending of await settled) if (ending.status === 'rejected') failures.push(ending.reason);
  if (failures.length > 0) throw failures[0];
  return results;
}

function inPhase<C extends CollectContext>(collectors: readonly Collector<C>[], phase: Phase): readonly Collector<C>[] {
  return collectors.filter((collector) => collector.phase === phase).toSorted((a, b) => a.volatility - b.volatility);
}

function ended(): Channel<string> {
  const channel = new Channel<string>(1);
  channel.end();
  return channel;
}

/** One running collector: `released` where it has ended, or what is left of it need not be waited for. */
interface Run {
  readonly ended: Promise<void>;
  readonly released: Promise<void>;
}

/** A bounded number at once, each until it lets the next one begin. */
async function inOrder<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const lane = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
}

async function declareSkipped<C extends CollectContext>(
  options: CaptureOptions<C>,
  collector: Collector<C>,
): Promise<CollectorResult> {
  const gaps = new GapLog(collector.name, options.session);
  gaps.add(gap('skipped', collector.name, 'left out on request (--skip)'));
  const end = { collector: collector.name, session: options.session, outcome: 'skipped' as const, seconds: 0 };
  await options.custodian.ended({ ...end, gaps: gaps.forChain() });
  return { ...end, artefacts: 0, bytes: 0, gaps: gaps.groups() };
}
