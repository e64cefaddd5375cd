// The shape of a collector: what it needs, how long and how much it may take, and what it yields.
import type { ClockSample, Gap, Logger } from '../evidence/index.ts';

/** Something a collector cannot do without, and what is lost where it is missing. */
export interface Need {
  readonly kind: 'capability' | 'path' | 'socket' | 'program';
  readonly name: string;
  readonly without: string;
}

/** An artefact to be stored. The engine opens it with the custodian and pulls `content` to its end. */
export interface Artefact {
  readonly kind: 'artefact';
  /** Below `data/`: "10-process/processes.jsonl"; ending in `.zst`, the engine compresses `content`. */
  readonly path: string;
  /** Where the bytes come from, for the custody chain. */
  readonly source: string;
  /** The bytes, uncompressed. An error thrown here closes the artefact as truncated and becomes a gap. */
  readonly content: AsyncIterable<Uint8Array>;
  /** Called once the content has been read to its end: why it is incomplete, where a limit cut it. */
  readonly truncated?: () => string | undefined;
  /**
   * Present where `content` is zstd frames already, so that the engine stores it as it comes: asked at the end for the
   * bytes that were in it before compression.
   */
  readonly encoded?: () => number;
}

/** A declared gap. */
export interface GapReport extends Gap {
  readonly kind: 'gap';
}

/** Bounds of one collector in one capture. */
export interface Limits {
  /** Bytes of content over all its artefacts, before compression. */
  readonly bytes: number;
  /** Seconds from its start until the engine aborts it; what the store keeps it waiting beyond a second does not count. */
  readonly seconds: number;
}

/**
 * The phase of the capture a collector belongs to: the volatile core is stored before any bulk is read; one that runs
 * `throughout` starts before all others and ends after them.
 */
export type Phase = 'throughout' | 'volatile' | 'bulk';

/** What every collector is given. */
export interface CollectContext {
  /** Aborts at the collector's deadline or when the capture is stopped. */
  readonly signal: AbortSignal;
  readonly limits: Limits;
  /** Aborts as `signal` does, and so many seconds before the deadline, a quarter of the limit at most: time to store what was had. */
  endsIn(seconds: number): AbortSignal;
  readonly log: Logger;
  /** The capture's phases as they begin, for what runs throughout it; ends when every other collector has. */
  readonly phases: AsyncIterable<string>;
  /** What follows is not volatile any more: the next phase need not wait for it. */
  release(): void;
  /** Declares a gap at once, so that it is not lost where the collector is ended early. */
  gap(gap: Gap): void;
  /** Puts a clock reading into the custody entry of this moment. */
  clock(sample: ClockSample): void;
}

/**
 * A collector is a frozen object. `collect` yields artefacts and gaps; the engine stores the artefacts it has been
 * given concurrently (bounded), so two that are fed by one walk may be yielded one after the other.
 */
export interface Collector<Context extends CollectContext = CollectContext> {
  readonly name: string;
  readonly description: string;
  readonly phase: Phase;
  /** Order within the capture: lower is more volatile and starts first. */
  readonly volatility: number;
  /** Bundle paths below `data/` it stores, for the table in the docs. */
  readonly artefacts: readonly string[];
  readonly needs: readonly Need[];
  readonly limits: Limits;
  collect(context: Context): AsyncGenerator<Artefact | GapReport>;
}

export function gap(reason: Gap['reason'], name: string, detail?: string): GapReport {
  return detail === undefined ? { kind: 'gap', reason, name } : { kind: 'gap', reason, name, detail };
}
