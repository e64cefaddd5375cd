// Gathers calls to the controller, so that a thousand small artefacts are some requests and not three thousand.
import { setTimeout as sleep } from 'node:timers/promises';
import { type ErrorCode, ImpoundError } from '../../evidence/index.ts';
import { type AgentCall, type CallResult, MAX_CALLS, MAX_CALLS_BYTES } from '../../protocol/index.ts';

export interface LaneOptions {
  readonly send: (calls: readonly AgentCall[]) => Promise<readonly CallResult[]>;
  /** Requests at once. */
  readonly requests: number;
  /** Between the beginnings of two requests, so that more is gathered. */
  readonly milliseconds: number;
  /** Until something was answered each call goes by itself: a node's first evidence waits for no other. */
  readonly firstAlone: boolean;
}

interface Waiting {
  readonly call: AgentCall;
  readonly bytes: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

/** What the controller may say of one call; anything else is no word of its own. */
const CODES: readonly ErrorCode[] = [
  'grant-refused',
  'object-exists',
  'object-missing',
  'path-invalid',
  'store-failed',
];
/** The session number and the list's own characters. */
const MARGIN_BYTES = 1024;

export class CallLane {
  readonly #options: LaneOptions;
  readonly #waiting: Waiting[] = [];
  #free: number;
  #last = Number.NEGATIVE_INFINITY;
  #hurry = false;
  #answered = false;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#free = options.requests;
  }

  /** The call's value; throws ImpoundError as the controller says, or as the request failed. */
  ask(call: AgentCall): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ call, bytes: Buffer.byteLength(JSON.stringify(call)) + 1, resolve, reject });
      // what is asked in the same turn goes together
      setImmediate(() => void this.#run());
    });
  }

  /** From now on nothing is held back to be gathered. */
  hurry(): void {
    this.#hurry = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#free === 0 || this.#waiting.length === 0) return;
    this.#free--;
    try {
      const early = this.#last + this.#options.milliseconds - performance.now();
      if (early > 0 && !this.#hurry) await sleep(early);
      this.#last = performance.now();
      await this.#send(this.#take());
    } finally {
      this.#free++;
    }
    void this.#run();
  }

  #take(): readonly Waiting[] {
    let bytes = MARGIN_BYTES;
    let count = 0;
    const most = this.#answered || !this.#options.firstAlone ? MAX_CALLS : 1;
    for (const { bytes: more } of this.#waiting) {
      if (count === most || (bytes + more > MAX_CALLS_BYTES && count > 0)) break;
      bytes += more;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    if (batch.length === 0) return;
    try {
      const results = await this.#options.send(batch.map(({ call }) => call));
      this.#answered = true;
      for (const [index, { resolve, reject }] of batch.entries()) {
        const result = results[index];
        if (result?.ok) resolve(result.value ?? undefined);
        else reject(refusal(result));
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}

function refusal(result: Extract<CallResult, { ok: false }> | undefined): ImpoundError {
  const code = CODES.find((known) => known === result?.code) ?? 'controller-refused';
  return new ImpoundError(code, result?.message ?? 'no answer', { operation: 'ask the controller' });
}
