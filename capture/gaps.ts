// One collector's gaps, grouped by cause, so that ten thousand vanished files are one line and not ten thousand.
import type { Gap, GapGroup } from '../evidence/index.ts';

/** Names kept of each group for gaps.jsonl; the chain takes the first of them. */
const NAMES_KEPT = 1000;
const NAMES_ON_CHAIN = 20;
/** 200 groups of 20 such names stay far below the largest entry. */
const MAX_NAME_ON_CHAIN = 120;
/** Distinct causes; a collector that words each gap differently is folded into "other". */
const MAX_GROUPS = 200;
const MAX_TEXT = 300;

export class GapLog {
  readonly #collector: string;
  readonly #session: number;
  readonly #groups = new Map<string, { gap: Gap; count: number; names: string[] }>();

  constructor(collector: string, session: number) {
    this.#collector = collector;
    this.#session = session;
  }

  add(gap: Gap): void {
    const detail = this.#groups.size < MAX_GROUPS ? gap.detail?.slice(0, MAX_TEXT) : 'other';
    const key = `${gap.reason}\n${detail ?? ''}`;
    const group = this.#groups.get(key) ?? {
      gap: { ...gap, ...(detail === undefined ? {} : { detail }) },
      count: 0,
      names: [],
    };
    group.count++;
    if (group.names.length < NAMES_KEPT) group.names.push(gap.name.slice(0, MAX_TEXT));
    this.#groups.set(key, group);
  }

  get count(): number {
    return [...this.#groups.values()].reduce((sum, group) => sum + group.count, 0);
  }

  /** Every group, with up to 1,000 names each. */
  groups(): readonly GapGroup[] {
    return [...this.#groups.values()].map(({ gap, count, names }) => ({
      collector: this.#collector,
      session: this.#session,
      reason: gap.reason,
      ...(gap.detail === undefined ? {} : { detail: gap.detail }),
      count,
      names,
    }));
  }

  /** The groups as an entry carries them. */
  forChain(): readonly GapGroup[] {
    const short = (name: string): string => name.slice(0, MAX_NAME_ON_CHAIN);
    return this.groups().map((group) => ({ ...group, names: group.names.slice(0, NAMES_ON_CHAIN).map(short) }));
  }
}
