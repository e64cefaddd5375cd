// What takes artefacts into custody: the engine and its collectors know only this.
import type { ArtefactRecord, ClockSample, CollectorEnd } from '../format/record.ts';

/** An artefact about to be written. */
export interface ArtefactSpec {
  /** Bundle path, with `data/`; a later session's gets its number. */
  readonly path: string;
  readonly collector: string;
  readonly session: number;
  readonly source: string;
}

/** How an artefact's content ended. */
export interface ArtefactEnd {
  /** Bytes before compression, where it was compressed. */
  readonly contentSize?: number;
  /** Why the content is not whole. */
  readonly truncated?: string;
}

export interface ArtefactWriter {
  /** Stored bytes, in order; resolves when more may be given. */
  write(chunk: Uint8Array): Promise<void>;
  /** Stores the artefact durably; its record goes on the chain within a second. */
  close(end: ArtefactEnd): Promise<ArtefactRecord>;
}

/**
 * Failures of the store are not a collector's: they are thrown as ImpoundError with a `store-` code and end the
 * capture, after what was written of the artefact has been kept as truncated where the store still can.
 */
export interface Custodian {
  open(spec: ArtefactSpec): Promise<ArtefactWriter>;
  /** A collector has ended: how, and with which gaps. */
  ended(end: CollectorEnd): Promise<void>;
  /** A clock reading, for the entry of this moment. */
  clock(sample: ClockSample): void;
}
