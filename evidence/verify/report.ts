// What a verification says: findings, warnings, a verdict.
import type { ChainHead } from '../custody/chain-writer.ts';

export type FindingCode =
  | 'outside-layout'
  | 'not-a-file'
  | 'entry-missing'
  | 'entry-altered'
  | 'entry-misplaced'
  | 'entry-unlinked'
  | 'entry-out-of-order'
  | 'signature-invalid'
  | 'signer-unknown'
  | 'key-altered'
  | 'key-missing'
  | 'key-added'
  | 'head-missing'
  | 'payload-missing'
  | 'payload-altered'
  | 'payload-added'
  | 'payload-disputed'
  | 'tag-missing'
  | 'tag-altered'
  | 'tag-added'
  | 'seal-altered'
  | 'archive-altered'
  | 'timestamp-altered'
  | 'timestamp-missing'
  | 'timestamp-untrusted';

/** Something that is not as it was sealed. `expected` and `found` are digests, sizes or names. */
export interface Finding {
  readonly code: FindingCode;
  readonly path: string;
  readonly message: string;
  readonly expected?: string;
  readonly found?: string;
}

export type WarningCode =
  | 'clock'
  | 'action-unknown'
  | 'uncommitted'
  | 'overwritten'
  | 'signer-after-seal'
  | 'archive-truncated'
  | 'agent-untrue'
  | 'timestamp-unchecked';

/** Something a reader should know that does not break the bundle. */
export interface Warning {
  readonly code: WarningCode;
  readonly path: string;
  readonly message: string;
}

/** A time stamp by an authority that leads to one given as trusted: entry `entry` existed at `time`. */
export interface TrustedTimestamp {
  readonly entry: number;
  /** RFC 3339 UTC, the authority's. */
  readonly time: string;
  /** Subject of the certificate that signed it. */
  readonly authority: string;
}

/** A file that could not be read, so that nothing is known of it. */
export interface Unchecked {
  readonly path: string;
  readonly message: string;
}

export type Verdict = 'intact' | 'not intact' | 'unsealed' | 'could not be checked';

export interface VerifyReport {
  readonly verdict: Verdict;
  readonly bundle: string;
  /** Who signed entry 0, and whether that key was among those given as trusted. */
  readonly signer: { readonly keyid: string; readonly kind: string; readonly actor: string; readonly trusted: boolean };
  /** The newest valid entry; undefined where there is none. */
  readonly head: ChainHead | undefined;
  /** How the capture ended, and how many artefacts it left that are not whole; undefined before its close. */
  readonly capture: { readonly outcome: string; readonly truncated: number } | undefined;
  readonly entries: number;
  /** Ascending by entry; empty where no authority was given. */
  readonly timestamps: readonly TrustedTimestamp[];
  readonly files: number;
  readonly bytes: number;
  readonly findings: readonly Finding[];
  readonly warnings: readonly Warning[];
  readonly unchecked: readonly Unchecked[];
}

/** Collects what the questions below find. */
export class Findings {
  readonly findings: Finding[] = [];
  readonly warnings: Warning[] = [];
  readonly unchecked: Unchecked[] = [];

  add(code: FindingCode, path: string, message: string, difference: { expected?: string; found?: string } = {}): void {
    this.findings.push({ code, path, message, ...difference });
  }

  warn(code: WarningCode, path: string, message: string): void {
    this.warnings.push({ code, path, message });
  }

  skip(path: string, message: string): void {
    this.unchecked.push({ path, message });
  }
}
