// What an agent was refused, for the chain: counted, so that a node that asks a million times fills nothing.
import type { ChainWriter } from '../../evidence/index.ts';

const MAX_CODES = 20;
const MAX_EXAMPLES = 5;
const MAX_EXAMPLE = 300;

interface Refused {
  count: number;
  readonly examples: string[];
}

export class Refusals {
  #new = new Map<string, Refused>();
  #total = 0;
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
    const known = this.#new.get(code) ?? { count: 0, examples: [] };
    if (this.#new.size >= MAX_CODES && !this.#new.has(code)) return;
    known.count++;
    if (known.examples.length < MAX_EXAMPLES) known.examples.push(message.slice(0, MAX_EXAMPLE));
    this.#new.set(code, known);
  }

  /** One `note` for all that came since the last. */
  async record(chain: ChainWriter, agent: object): Promise<void> {
    if (this.#new.size === 0) return;
    const refusals = [...this.#new].map(([code, { count, examples }]) => ({ code, count, examples }));
    this.#new = new Map();
    await chain.append('note', { reason: 'agent-refused', agent, refusals });
  }
}
