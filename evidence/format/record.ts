// What the chain keeps of each stored artefact and of each gap. Plain data, no I/O.

/** One part of a multipart upload, as the store enforced it. Sizes are bytes, digests lower-case hex. */
export interface StoredPart {
  readonly size: number;
  readonly sha256: string;
}

/** What a store says of an object it holds. */
export interface StoredObject {
  readonly size: number;
  readonly sha256: string;
  readonly parts?: readonly StoredPart[];
  readonly versionId?: string;
  /** Of S3: names these bytes too, and is none of a digest's kinds. */
  readonly etag?: string;
}

/** One artefact as a `collect` entry names it. Times are RFC 3339 UTC. */
export interface ArtefactRecord extends StoredObject {
  /** Bundle path, with `data/`. */
  readonly path: string;
  readonly collector: string;
  readonly session: number;
  /** Where the bytes were read from: "/proc", "unix:///var/run/docker.sock". */
  readonly source: string;
  readonly begun: string;
  readonly ended: string;
  /** SHA-256 of the bytes before they were encrypted; absent where they were not. */
  readonly plainSha256?: string;
  /** Bytes before compression; absent where the artefact is stored as it was read. */
  readonly contentSize?: number;
  /** Set when the content ends before its source did: why, and how much was left where known. */
  readonly truncated?: string;
  /** Found in the store by `seal` after a crash, read back and hashed then. */
  readonly recovered?: true;
}

/**
 * Why something is missing.
 * denied: permission; vanished: gone between listing and reading; truncated: a limit bit; absent: not there at all;
 * unsupported: this kernel or platform does not offer it; timeout: a deadline passed; skipped: asked not to;
 * failed: any other error; aborted: the capture was stopped; crashed: the capture ended without closing.
 */
export type GapReason =
  | 'denied'
  | 'vanished'
  | 'truncated'
  | 'absent'
  | 'unsupported'
  | 'timeout'
  | 'skipped'
  | 'failed'
  | 'aborted'
  | 'crashed';

/** One thing that could not be had. `name` is the thing (a path, "pid 17 environ"); `detail` groups like with like. */
export interface Gap {
  readonly reason: GapReason;
  readonly name: string;
  /** Why, how much was left, and how to get it: the same words for the same cause, since gaps are grouped by it. */
  readonly detail?: string;
}

/** Gaps of one collector with the same reason and detail; `names` holds the first of them only. */
export interface GapGroup {
  readonly collector: string;
  readonly session: number;
  readonly reason: GapReason;
  readonly detail?: string;
  readonly count: number;
  readonly names: readonly string[];
}

/**
 * How one collector ended. `partial`: artefacts were stored and gaps declared; `absent`: what it collects is not there.
 */
export type CollectorOutcome = 'complete' | 'partial' | 'absent' | 'failed' | 'timeout' | 'aborted' | 'skipped';

/** A collector's end, as its last `collect` entry carries it. */
export interface CollectorEnd {
  readonly collector: string;
  readonly session: number;
  readonly outcome: CollectorOutcome;
  readonly seconds: number;
  readonly gaps: readonly GapGroup[];
}

/** One reading of the node's clocks (clock_gettime(2), adjtimex(2)); seconds as decimals, `phase` when it was taken. */
export interface ClockSample {
  readonly phase: string;
  readonly utc: string;
  readonly monotonicSeconds: number;
  readonly boottimeSeconds?: number;
  readonly bootId?: string;
  readonly clockSource?: string;
  readonly synchronised?: boolean;
}
