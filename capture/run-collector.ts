// Runs one collector: pulls its artefacts and gaps, stores what it yields, and ends it at its deadline.

import type { CollectorOutcome } from '../evidence/index.ts';
import { type ArtefactWriter, describeError, within, zstdCompress } from '../evidence/index.ts';
import { type Artefact, type CollectContext, type Collector, gap } from './collector.ts';
import type { CaptureOptions, CollectorResult } from './engine.ts';
import { GapLog } from './gaps.ts';
import { OwnTime } from './own-time.ts';

/** Artefacts of one collector that are stored at once. */
const ARTEFACTS_AT_ONCE = 4;
/** How long an aborted collector may take to let go of what it holds. */
const FAREWELL_MILLISECONDS = 2000;

/** Thrown inside when the deadline passed or the capture was stopped. */
class Stopped extends Error {}

/** The store failed: not the collector's fault, and the end of the capture. */
class CustodyFailure extends Error {}

interface Run<Context extends CollectContext> {
  readonly options: CaptureOptions<Context>;
  readonly collector: Collector<Context>;
  readonly signal: AbortSignal;
  readonly time: OwnTime;
  readonly gaps: GapLog;
  readonly stop: StopRace;
  artefacts: number;
  bytes: number;
  contentBytes: number;
}

export async function runCollector<Context extends CollectContext>(
  options: CaptureOptions<Context>,
  collector: Collector<Context>,
  phases: AsyncIterable<string>,
  release: () => void,
): Promise<CollectorResult> {
  // what runs throughout is ended by its phases, so that it sees the end of a capture that was stopped
  const isThroughout = collector.phase === 'throughout';
  const time = new OwnTime(isThroughout ? Number.POSITIVE_INFINITY : collector.limits.seconds);
  const deadline = time.butFor(0);
  const signal = isThroughout ? deadline : AbortSignal.any([options.signal, deadline]);
  const run: Run<Context> = {
    options,
    collector,
    signal,
    time,
    gaps: new GapLog(collector.name, options.session),
    stop: new StopRace(signal),
    artefacts: 0,
    bytes: 0,
    contentBytes: 0,
  };
  const begun = performance.now();
  const log = options.log;
  const base: CollectContext = {
    signal,
    limits: collector.limits,
    endsIn: (seconds) => AbortSignal.any([signal, time.butFor(Math.min(seconds, collector.limits.seconds / 4))]),
    log,
    phases,
    release,
    gap: (found) => run.gaps.add(found),
    clock: (sample) => options.custodian.clock(sample),
  };
  let outcome: CollectorOutcome = 'complete';
  try {
    await pull(run, collector.collect(options.context(base, collector)));
  } catch (error) {
    if (error instanceof CustodyFailure) {
      // the entry that carries them may still fit when the store takes nothing else
      await options.custodian.ended({ ...endOf(run, begun, 'failed'), gaps: run.gaps.forChain() });
      throw error.cause;
    }
    outcome = failureOutcome(run, error);
  } finally {
    time.end();
  }
  // what this machine simply has not is no loss where there was something else
  if (outcome === 'complete' && run.gaps.count > 0) {
    const lost = run.gaps.groups().some(({ reason }) => reason !== 'absent');
    if (run.artefacts === 0) outcome = gapsOnly(run);
    else if (lost) outcome = 'partial';
  }
  const end = endOf(run, begun, outcome);
  await options.custodian.ended({ ...end, gaps: run.gaps.forChain() });
  return { ...end, artefacts: run.artefacts, bytes: run.bytes, gaps: run.gaps.groups() };
}

/** Nothing was stored: there is nothing of the kind here, it was left out on purpose, or it could not be had. */
function gapsOnly<C extends CollectContext>(run: Run<C>): CollectorOutcome {
  const reasons = new Set(run.gaps.groups().map(({ reason }) => reason));
  reasons.delete('absent');
  if (reasons.size === 0) return 'absent';
  return reasons.size === 1 && reasons.has('skipped') ? 'skipped' : 'failed';
}

function endOf<C extends CollectContext>(run: Run<C>, begun: number, outcome: CollectorOutcome) {
  const seconds = Math.round(performance.now() - begun) / 1000;
  return { collector: run.collector.name, session: run.options.session, outcome, seconds };
}

function failureOutcome<C extends CollectContext>(run: Run<C>, error: unknown): CollectorOutcome {
  const { name, limits } = run.collector;
  if (!(error instanceof Stopped)) {
    run.options.log.warn('collector failed', { collector: name, error: describeError(error) });
    run.gaps.add(gap('failed', name, describeError(error)));
    return run.artefacts > 0 ? 'partial' : 'failed';
  }
  if (run.options.signal.aborted) {
    run.gaps.add(gap('aborted', name, 'the capture was stopped before it had ended'));
    return 'aborted';
  }
  const waited = Math.round(run.time.waited / 1000);
  const beside = waited > 0 ? ` beside ${waited} s in which the store was waited for` : '';
  run.gaps.add(gap('timeout', name, `not done after ${limits.seconds} s${beside}; what it had stored by then is kept`));
  return 'timeout';
}

async function pull<C extends CollectContext>(
  run: Run<C>,
  generator: ReturnType<Collector<C>['collect']>,
): Promise<void> {
  const storing = new Set<Promise<void>>();
  const failures: unknown[] = [];
  try {
    for (;;) {
      const { value, done } = await run.stop.race(generator.next());
      if (done === true) break;
      if (value.kind === 'gap') {
        run.gaps.add(value);
        continue;
      }
      const stored: Promise<void> = store(run, value)
        .catch((error: unknown) => {
          failures.push(error);
          run.stop.now(error);
        })
        .finally(() => storing.delete(stored));
      storing.add(stored);
      while (storing.size >= ARTEFACTS_AT_ONCE) await Promise.race(storing);
      if (failures.length > 0) break;
    }
  } catch (error) {
    failures.push(error);
  }
  // a generator that hangs cannot be waited for: its own `finally` runs when what it waits for answers
  const farewell = generator.return(undefined).catch((error: unknown) => failures.push(error));
  await Promise.all(storing);
  await within(farewell, FAREWELL_MILLISECONDS, () => undefined);
  const custody = failures.find((error) => error instanceof CustodyFailure);
  if (failures.length > 0) throw custody ?? failures[0];
}

/** Stores one artefact; a failure of its content closes it as truncated and is a gap, a failure of the store throws. */
async function store<C extends CollectContext>(run: Run<C>, artefact: Artefact): Promise<void> {
  const { options, collector } = run;
  const spec = {
    path: `data/${artefact.path}`,
    collector: collector.name,
    session: options.session,
    source: artefact.source,
  };
  const writer = await custody(run, options.custodian.open(spec));
  const content = new BoundedContent(run, artefact);
  const { encoded } = artefact;
  const compress = encoded === undefined && artefact.path.endsWith('.zst');
  let failure: unknown;
  try {
    await write(run, writer, compress ? zstdCompress(content) : content);
  } catch (error) {
    if (error instanceof CustodyFailure) throw error;
    failure = error;
  }
  const truncated = truncation(run, artefact, content, failure);
  const end = {
    ...(compress ? { contentSize: content.size } : {}),
    ...(encoded === undefined ? {} : { contentSize: encoded() }),
    ...(truncated === undefined ? {} : { truncated }),
  };
  await custody(run, writer.close(end));
  run.artefacts++;
  if (failure instanceof Stopped) throw failure;
}

async function write<C extends CollectContext>(
  run: Run<C>,
  writer: ArtefactWriter,
  bytes: AsyncIterable<Uint8Array>,
): Promise<void> {
  for await (const chunk of bytes) {
    await custody(run, writer.write(chunk));
    run.bytes += chunk.length;
    run.options.observe({ kind: 'stored', collector: run.collector.name, bytes: run.bytes });
  }
}

function truncation<C extends CollectContext>(
  run: Run<C>,
  artefact: Artefact,
  content: BoundedContent<C>,
  failure: unknown,
): string | undefined {
  if (failure instanceof Stopped) return run.options.signal.aborted ? 'the capture was stopped' : 'its deadline passed';
  if (failure !== undefined) {
    run.gaps.add(gap('failed', artefact.path, describeError(failure)));
    return `reading failed: ${describeError(failure)}`.slice(0, 300);
  }
  if (content.limited) {
    const why = `the collector's limit of ${run.collector.limits.bytes} bytes was reached; how much was left is not known`;
    run.gaps.add(gap('truncated', artefact.path, why));
    return why;
  }
  return artefact.truncated?.();
}

/** Content as it is read: counted, cut at the collector's byte limit, ended at its deadline even if the source hangs. */
class BoundedContent<C extends CollectContext> implements AsyncIterable<Uint8Array> {
  readonly #run: Run<C>;
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #isTable: boolean;
  size = 0;
  limited = false;

  constructor(run: Run<C>, artefact: Artefact) {
    this.#run = run;
    this.#source = artefact.content;
    this.#isTable = artefact.path.endsWith('.jsonl');
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const { stop, collector } = this.#run;
    const iterator = this.#source[Symbol.asyncIterator]();
    try {
      for (;;) {
        const { value, done } = await stop.race(iterator.next());
        if (done === true) return;
        // tables describe the rest: they have the limit to themselves, so that bulk does not leave them empty
        const room = collector.limits.bytes - (this.#isTable ? this.size : this.#run.contentBytes);
        const chunk = value.length > room ? value.subarray(0, room) : value;
        if (!this.#isTable) this.#run.contentBytes += chunk.length;
        this.size += chunk.length;
        if (chunk.length > 0) yield chunk;
        if (chunk.length < value.length) {
          this.limited = true;
          return;
        }
      }
    } finally {
      // not awaited: a source that hangs would hang its own farewell
      iterator.return?.()?.catch(() => undefined);
    }
  }
}

async function custody<T, C extends CollectContext>(run: Run<C>, answer: Promise<T>): Promise<T> {
  try {
    return await run.time.store(answer);
  } catch (cause) {
    throw new CustodyFailure('custody failed', { cause });
  }
}

/** Waits for a promise or the stop, whichever is first. Promise.race would leave a reaction behind for every chunk. */
class StopRace {
  readonly #waiting = new Set<(reason: unknown) => void>();
  #reason: unknown;

  constructor(signal: AbortSignal) {
    if (signal.aborted) this.now(new Stopped('stopped'));
    else signal.addEventListener('abort', () => this.now(new Stopped('stopped')), { once: true });
  }

  /** Ends every wait with this reason, now and later. */
  now(reason: unknown): void {
    this.#reason ??= reason;
    for (const reject of this.#waiting) reject(this.#reason);
  }

  race<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#reason !== undefined) reject(this.#reason);
      this.#waiting.add(reject);
      promise.then(resolve, reject).finally(() => this.#waiting.delete(reject));
    });
  }
}
