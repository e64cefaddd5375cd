// Which agents this replica has heard of since it leads: when last, by which pod, which version, how their clocks are off.
import type { AgentIdentity } from '../http/identity.ts';

export interface HeardAgent {
  readonly node: string;
  readonly pod: string;
  /** Milliseconds since it was last heard. */
  readonly silence: number;
  /** As it says of itself; undefined where it has not polled here yet. */
  readonly software: string | undefined;
  /** What else than captures it does: "probe". */
  readonly can: readonly string[];
  /** Milliseconds that its clock was ahead of ours at its last poll, which was under way for some of them. */
  readonly ahead: number | undefined;
}

export interface Polled {
  readonly software: string;
  readonly can?: readonly string[] | undefined;
  /** RFC 3339. */
  readonly utc?: string | undefined;
}

interface Entry extends Omit<HeardAgent, 'silence'> {
  /** performance.now() */
  at: number;
}

/** More nodes than Kubernetes is made for: an entry needs a token of a pod on a node that there is. */
const CAPACITY = 20_000;
/** A node that is gone is forgotten. */
const KEPT_MILLISECONDS = 15 * 60_000;
/** A name and a version are some thirty. */
const MAX_SOFTWARE = 200;

export class AgentRoll {
  /** By node, last heard last. */
  readonly #heard = new Map<string, Entry>();
  #since = performance.now();

  /** From now on this replica leads: what it heard before is of no use. */
  begin(): void {
    this.#heard.clear();
    this.#since = performance.now();
  }

  /** Milliseconds since it began. */
  get age(): number {
    return performance.now() - this.#since;
  }

  heard({ node, pod }: AgentIdentity): void {
    const before = this.#heard.get(node);
    const same = before?.pod === pod ? before : { node, pod, software: undefined, can: [], ahead: undefined };
    this.#keep({ ...same, at: performance.now() });
  }

  /** `arrived`: by our clock, in milliseconds since 1970. */
  polled({ node, pod }: AgentIdentity, { software, can = [], utc }: Polled, arrived: number): void {
    const ahead = utc === undefined ? undefined : Date.parse(utc) - arrived;
    this.#keep({ node, pod, software: software.slice(0, MAX_SOFTWARE), can, ahead, at: performance.now() });
  }

  of(node: string): HeardAgent | undefined {
    const entry = this.#heard.get(node);
    return entry && heardOf(entry);
  }

  all(): readonly HeardAgent[] {
    return [...this.#heard.values()].map(heardOf);
  }

  #keep(entry: Entry): void {
    this.#heard.delete(entry.node);
    this.#heard.set(entry.node, entry);
    for (const [node, { at }] of this.#heard) {
      if (this.#heard.size <= CAPACITY && performance.now() - at < KEPT_MILLISECONDS) break;
      this.#heard.delete(node);
    }
  }
}

function heardOf({ at, ...entry }: Entry): HeardAgent {
  return { ...entry, silence: performance.now() - at };
}
