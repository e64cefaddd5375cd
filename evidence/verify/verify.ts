// Verifies a bundle: reads every byte once and answers each question of the format.
import type { X509Certificate } from 'node:crypto';
import { listEntries } from '../custody/chain-reader.ts';
import type { ChainHead } from '../custody/chain-writer.ts';
import type { TrustedKey } from '../custody/key.ts';
import { ImpoundError } from '../errors.ts';
import { records } from '../format/coverage.ts';
import type { Statement } from '../format/entry.ts';
import { entryPath } from '../format/layout.ts';
import type { Store } from '../store/store.ts';
import { checkChain } from './chain.ts';
import { checkListing } from './listing.ts';
import { checkPayload } from './payload.ts';
import { Findings, type Verdict, type VerifyReport } from './report.ts';
import { checkTags } from './tags.ts';
import { checkTimestamps } from './timestamps.ts';

export interface VerifyOptions {
  readonly trusted?: readonly TrustedKey[];
  readonly head?: ChainHead | undefined;
  /** Certificates of time-stamping authorities; without any, nothing is said of whose a time stamp is. */
  readonly authorities?: readonly X509Certificate[];
  /** Called with the bytes read since the last call, and with all there are to read. */
  readonly progress?: (bytes: number, total: number) => void;
}

/** Throws `not-a-bundle` where there is nothing to verify; whatever is wrong with a bundle is in the report. */
export async function verifyBundle(store: Store, options: VerifyOptions = {}): Promise<VerifyReport> {
  const trusted = options.trusted ?? [];
  if ((await listEntries(store)).length === 0) {
    throw new ImpoundError('not-a-bundle', `${store.url} is not a bundle: it has no ${entryPath(0)}`, {
      operation: 'verify',
      thing: store.url,
    });
  }
  const report = new Findings();
  const files = await checkListing(store, report);
  const total = [...files.values()].reduce((sum, size) => sum + size, 0);
  const chain = await checkChain(store, files, { trusted, head: options.head }, report);
  const statements = chain.entries.map((entry) => entry.statement);
  await checkTags(store, files, chain, report);
  const authorities = options.authorities ?? [];
  const timestamps = await checkTimestamps(store, files, { chain: chain.genuine, authorities }, report);
  const bytes = await checkPayload(
    store,
    files,
    statements,
    {
      sealed: chain.sealed,
      parallel: store.concurrency,
      progress: (read) => options.progress?.(read, total),
    },
    report,
  );
  const first = chain.genuine[0];
  const last = chain.genuine.at(-1);
  const { findings, warnings, unchecked } = report;
  return {
    verdict: verdictOf(report, chain.sealed),
    bundle: first?.statement.predicate.bundle ?? '',
    signer: {
      keyid: first?.envelope.keyid ?? '',
      kind: String(first?.statement.predicate.details.signer ?? 'unknown'),
      actor: first?.statement.predicate.actor.name ?? '',
      trusted: trusted.some((key) => key.keyid === first?.envelope.keyid),
    },
    head: last === undefined ? undefined : { sequence: last.sequence, sha256: last.sha256 },
    capture: captureOf(statements),
    entries: chain.genuine.length,
    timestamps,
    files: files.size,
    bytes,
    findings,
    warnings,
    unchecked,
  };
}

function captureOf(statements: readonly Statement[]): VerifyReport['capture'] {
  const close = statements.find(({ predicate }) => predicate.action === 'close');
  if (close === undefined) return undefined;
  const truncated = records(statements).filter((record) => record.truncated !== undefined).length;
  return { outcome: String(close.predicate.details.outcome), truncated };
}

function verdictOf({ findings, unchecked }: Findings, sealed: boolean): Verdict {
  if (findings.length > 0) return 'not intact';
  if (unchecked.length > 0) return 'could not be checked';
  return sealed ? 'intact' : 'unsealed';
}
