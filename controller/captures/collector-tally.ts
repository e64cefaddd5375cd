// How far each collector is, by the chain: what was announced, what was stored, how it ended.
import { type CollectorEnd, records, type Statement } from '../../evidence/index.ts';
import type { NodeCaptureStatus } from '../../protocol/index.ts';

type CollectorProgress = NonNullable<NodeCaptureStatus['collectors']>[number];

/** Of the status, which takes no more. */
const MAX_COLLECTORS = 64;
/** What a bundle says of itself is nobody's to wait for: it is in the sums only. */
const BUNDLE = 'impound';

export class CollectorTally {
  readonly #collectors = new Map<string, CollectorProgress>();

  /** In the order in which they were first heard of; what comes after the 64th is only in the sums. */
  get all(): readonly CollectorProgress[] {
    return [...this.#collectors.values()];
  }

  take(statement: Statement): void {
    const { action, details } = statement.predicate;
    if (action === 'session' && Array.isArray(details.collectors))
      for (const name of details.collectors) this.#of(String(name), Number(details.session));
    if (action !== 'collect') return;
    for (const { collector, session, size } of records([statement])) {
      if (collector === BUNDLE) continue;
      const before = this.#of(collector, session);
      this.#set({ ...before, artefacts: before.artefacts + 1, bytes: before.bytes + size });
    }
    if (!Array.isArray(details.ended)) return;
    for (const { collector, session, outcome, gaps } of details.ended as readonly CollectorEnd[]) {
      const count = gaps.reduce((sum, group) => sum + group.count, 0);
      const before = this.#of(collector, session);
      this.#set({ ...before, outcome, gaps: before.gaps + count });
    }
  }

  /** A later try begins anew: what the one before had stored stays in the sums. */
  #of(name: string, session: number): CollectorProgress {
    const known = this.#collectors.get(name);
    if (known !== undefined && known.session >= session) return known;
    const begun = { name, session, artefacts: 0, bytes: 0, gaps: 0 };
    this.#set(begun);
    return begun;
  }

  #set(progress: CollectorProgress): void {
    if (this.#collectors.has(progress.name) || this.#collectors.size < MAX_COLLECTORS)
      this.#collectors.set(progress.name, progress);
  }
}
