// What an agent was refused, for the chain: counted, so that a node that asks a million times fills nothing.
import type { ChainWriter } from '../../evidence/index.ts';

const MAX_CODES = 20;
const MAX_EXAMPLES = 5;
const MAX_EXAMPLE = 300;
/** Between two notes: twice as long after each, so that a node that goes on lying for hours writes a few. */
const FIRST_MILLISECONDS = 1000;
const LONGEST_MILLISECONDS = 600_000;

interface Refused {
  count: number;
  readonly examples: string[];
}

export class Refusals {
  #new = new Map<string, Refused>();
  #total = 0;
  #notBefore = 0;
  #pause = FIRST_MILLISECONDS;
  readonly #count: (code: string) => void;

  constructor(count: (code: string) => void) {
    this.#count = count;
  }

  get total(): number {
    return this.#total;
  }

  add(code: string, message: string): void {
    this.#total++;
    this.#count(code);
    this.#keep(code, { count: 1, examples: [message.slice(0, MAX_EXAMPLE)] });
  }

  /** One `note` for all that came since the last, where it is time for one, or `all` is to be said now. */
  async record(chain: ChainWriter, agent: object | null, all: boolean): Promise<void> {
    const now = performance.now();
    if (this.#new.size === 0 || (!all && now < this.#notBefore)) return;
    const taken = this.#new;
    this.#new = new Map();
    const refusals = [...taken].map(([code, { count, examples }]) => ({ code, count, examples }));
    try {
      await chain.append('note', { reason: 'agent-refused', agent, refusals });
    } catch (error) {
      for (const [code, refused] of taken) this.#keep(code, refused); // said with the next
      throw error;
    }
    this.#notBefore = now + this.#pause;
    this.#pause = Math.min(this.#pause * 2, LONGEST_MILLISECONDS);
  }

  #keep(code: string, { count, examples }: Refused): void {
    const known = this.#new.get(code) ?? { count: 0, examples: [] };
    if (this.#new.size >= MAX_CODES && !this.#new.has(code)) return;
    known.count += count;
    known.examples.push(...examples.slice(0, MAX_EXAMPLES - known.examples.length));
    this.#new.set(code, known);
  }
}
