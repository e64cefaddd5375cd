// What was captured and what was not, as a pure function of the chain.
import { artefactRecords, collectorEnds, isRecord, type Statement } from './entry.ts';
import type { ArtefactRecord, CollectorEnd, CollectorOutcome, GapGroup } from './record.ts';

/** One collector of one session in coverage.json. */
export interface CollectorCoverage {
  readonly collector: string;
  readonly session: number;
  /** `unfinished`: it was planned, and the chain does not say that it ended. */
  readonly outcome: CollectorOutcome | 'unfinished';
  readonly seconds?: number;
  readonly artefacts: number;
  /** Stored bytes. */
  readonly bytes: number;
  /** Gaps by reason. */
  readonly gaps: Readonly<Record<string, number>>;
}

export interface Coverage {
  readonly collectors: readonly CollectorCoverage[];
  /** For each artefact that more than one session tried: the path that counts. */
  readonly counts: Readonly<Record<string, string>>;
}

export function records(statements: readonly Statement[]): readonly ArtefactRecord[] {
  return statements.flatMap(({ predicate }) =>
    predicate.action === 'collect' ? artefactRecords(predicate.details, `entry ${predicate.sequence}`) : [],
  );
}

export function gapGroups(statements: readonly Statement[]): readonly GapGroup[] {
  return ends(statements).flatMap((end) => end.gaps);
}

export function coverage(statements: readonly Statement[]): Coverage {
  const all = records(statements);
  const ended = ends(statements);
  const collectors = planned(statements).map(({ collector, session }) => {
    const own = all.filter((record) => record.collector === collector && record.session === session);
    const end = ended.find((candidate) => candidate.collector === collector && candidate.session === session);
    return {
      collector,
      session,
      outcome: end?.outcome ?? ('unfinished' as const),
      ...(end === undefined ? {} : { seconds: end.seconds }),
      artefacts: own.length,
      bytes: own.reduce((sum, record) => sum + record.size, 0),
      gaps: countByReason(end?.gaps ?? []),
    };
  });
  return { collectors, counts: preferred(all) };
}

/** Planned collectors that the chain does not see end: the capture was cut off before. */
export function unfinishedGaps(statements: readonly Statement[]): readonly GapGroup[] {
  const unfinished = coverage(statements).collectors.filter(({ outcome }) => outcome === 'unfinished');
  return unfinished.map(({ collector, session }) => ({
    collector,
    session,
    reason: 'crashed',
    detail: 'the capture was cut off before it had ended; what it had stored by then is kept',
    count: 1,
    names: [collector],
  }));
}

function ends(statements: readonly Statement[]): readonly CollectorEnd[] {
  return statements.flatMap(({ predicate }) =>
    predicate.action === 'collect' ? collectorEnds(predicate.details) : [],
  );
}

function planned(statements: readonly Statement[]): { readonly collector: string; readonly session: number }[] {
  return statements.flatMap(({ predicate: { action, details } }) => {
    if (action !== 'session' || !isRecord(details) || !Array.isArray(details.collectors)) return [];
    const session = Number(details.session);
    return details.collectors.map((collector) => ({ collector: String(collector), session }));
  });
}

function countByReason(gaps: readonly GapGroup[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { reason, count } of gaps) counts[reason] = (counts[reason] ?? 0) + count;
  return counts;
}

/** Of several tries the newest whole one counts, else the largest. */
function preferred(all: readonly ArtefactRecord[]): Record<string, string> {
  const tries = new Map<string, ArtefactRecord[]>();
  for (const record of all) {
    const base = record.session === 1 ? record.path : record.path.replace(`.${record.session}`, '');
    tries.set(base, [...(tries.get(base) ?? []), record]);
  }
  const counts: Record<string, string> = {};
  for (const [base, candidates] of tries) {
    if (candidates.length < 2) continue;
    const best = candidates.toSorted(byPreference)[0];
    if (best !== undefined) counts[base] = best.path;
  }
  return counts;
}

function byPreference(a: ArtefactRecord, b: ArtefactRecord): number {
  const whole = Number(a.truncated !== undefined) - Number(b.truncated !== undefined);
  if (whole !== 0) return whole;
  return a.truncated === undefined ? b.session - a.session : b.size - a.size;
}
