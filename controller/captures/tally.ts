// What a growing chain amounts to: each entry is looked at once, since it is asked for every second.
import { type CollectorEnd, gapGroups, records, type Statement } from '../../evidence/index.ts';
import type { NodeCaptureStatus } from '../../protocol/index.ts';
import { CollectorTally } from './collector-tally.ts';

export interface Progress {
  readonly artefacts: number;
  readonly bytes: number;
  readonly gaps: number;
  readonly collectors: NonNullable<NodeCaptureStatus['collectors']>;
}

export class ChainTally {
  readonly #statements: () => readonly Statement[];
  readonly #firsts = new Map<string, Statement>();
  readonly #lasts = new Map<string, Statement>();
  readonly #ended = new Set<string>();
  readonly #collectors = new CollectorTally();
  #seen = 0;
  #artefacts = 0;
  #bytes = 0;
  #gaps = 0;

  /** `statements` only ever grow. */
  constructor(statements: () => readonly Statement[]) {
    this.#statements = statements;
  }

  get progress(): Progress {
    this.#look();
    return { artefacts: this.#artefacts, bytes: this.#bytes, gaps: this.#gaps, collectors: this.#collectors.all };
  }

  /** Collectors that the chain has seen end, in whichever session; one that was cut short may be tried again. */
  get ended(): ReadonlySet<string> {
    this.#look();
    return this.#ended;
  }

  /** The first entry of this action, of this reason where given. */
  first(action: string, reason = ''): Statement | undefined {
    this.#look();
    return this.#firsts.get(`${action} ${reason}`);
  }

  last(action: string, reason = ''): Statement | undefined {
    this.#look();
    return this.#lasts.get(`${action} ${reason}`);
  }

  #look(): void {
    const all = this.#statements();
    if (this.#seen === all.length) return;
    const fresh = all.slice(this.#seen);
    this.#seen = all.length;
    for (const { size } of records(fresh)) {
      this.#artefacts++;
      this.#bytes += size;
    }
    for (const { count } of gapGroups(fresh)) this.#gaps += count;
    for (const statement of fresh) this.#take(statement);
  }

  #take(statement: Statement): void {
    this.#collectors.take(statement);
    const { action, details } = statement.predicate;
    const keys = typeof details.reason === 'string' ? [`${action} `, `${action} ${details.reason}`] : [`${action} `];
    for (const key of keys) {
      if (!this.#firsts.has(key)) this.#firsts.set(key, statement);
      this.#lasts.set(key, statement);
    }
    if (action !== 'collect' || !Array.isArray(details.ended)) return;
    for (const { collector, outcome } of details.ended as readonly CollectorEnd[])
      if (outcome !== 'aborted') this.#ended.add(collector);
  }
}
