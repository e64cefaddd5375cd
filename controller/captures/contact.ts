// When a capture's agent was last heard of, and what its silence is due to.

export class Contact {
  /** Since when an agent could have begun. */
  #awaited = performance.now();
  #heard: number | undefined;
  /** When the agent was last known to be kept out by something else than itself. */
  #pardoned = Number.NEGATIVE_INFINITY;
  #heardHere = false;

  /** Milliseconds since a session was last heard of; where none was, since an agent was free to begin one. */
  get silence(): number {
    return performance.now() - (this.#heard ?? this.#awaited);
  }

  /** That part of its silence which nothing is known to excuse. */
  get unexcused(): number {
    return Math.min(this.silence, performance.now() - this.#pardoned);
  }

  /** Whether an agent has spoken to this very replica. */
  get heardHere(): boolean {
    return this.#heardHere;
  }

  /** An agent has spoken to this replica. */
  heard(): void {
    this.#heardHere = true;
    this.begun();
  }

  /** A session has begun, here or, as the chain has it, at another replica: its silence counts from now on. */
  begun(): void {
    this.#heard = performance.now();
  }

  /** Its agent could not be heard until now, whatever it said. */
  pardon(): void {
    this.#pardoned = performance.now();
  }

  /** The node's agent is at another capture: it is not expected here yet. */
  excuse(): void {
    this.#awaited = performance.now();
  }
}
