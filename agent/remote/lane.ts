// Gathers calls to the controller, so that a thousand small artefacts are some requests and not three thousand.
import { type ErrorCode, ImpoundError } from '../../evidence/index.ts';
import { type AgentCall, type CallResult, MAX_CALLS, MAX_CALLS_BYTES } from '../../protocol/index.ts';

export interface LaneOptions {
  readonly send: (calls: readonly AgentCall[]) => Promise<readonly CallResult[]>;
  /** Requests at once. */
  readonly requests: number;
  /** Between the beginnings of two requests, so that more is gathered. */
  readonly milliseconds: number;
  /** Another request is sent beside the last one where that is not answered after so many milliseconds. */
  readonly beside: number;
  /** What leads to a node's first evidence is asked for alone, and nothing else before it is stored or a moment has passed. */
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
/** So long from the first answer until the first evidence is reported as stored: then nothing waits for it any more. */
const FIRST_MILLISECONDS = 250;
/** The session number and the list's own characters. */
const MARGIN_BYTES = 1024;

export class CallLane {
  readonly #options: LaneOptions;
  readonly #waiting: Waiting[] = [];
  #free: number;
  /** When the last request was begun; what is to be gathered is gathered before the first one, too. */
  #last: number;
  /** The last request, until it is answered. */
  #open: object | undefined;
  #hurry = false;
  #early: NodeJS.Timeout | undefined;
  /** What leads to the first evidence goes alone: its first call, and then only the one that reports it. */
  #first: 'asking' | 'reporting' | 'over';

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#free = options.requests;
    this.#last = options.milliseconds > 0 ? performance.now() : Number.NEGATIVE_INFINITY;
    this.#first = options.firstAlone ? 'asking' : 'over';
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
    const { requests, milliseconds, beside } = this.#options;
    const alone = this.#first !== 'over' && this.#free < requests;
    if (this.#free === 0 || alone || !this.#waiting.some((one) => this.#mayGo(one))) return;
    const apart = this.#hurry ? 0 : milliseconds;
    const early = this.#last + (this.#open === undefined ? apart : Math.max(apart, beside)) - performance.now();
    if (early > 0) return this.#runIn(early);
    const request = {};
    this.#open = request;
    this.#free--;
    this.#last = performance.now();
    try {
      await this.#send(this.#take());
    } finally {
      this.#free++;
      if (this.#open === request) this.#open = undefined;
    }
    void this.#run();
  }

  #runIn(milliseconds: number): void {
    this.#early ??= setTimeout(() => {
      this.#early = undefined;
      void this.#run();
    }, milliseconds);
  }

  #mayGo({ call }: Waiting): boolean {
    return this.#first !== 'reporting' || call.kind === 'finished';
  }

  #take(): readonly Waiting[] {
    if (this.#first !== 'over') {
      const index = this.#waiting.findIndex((one) => this.#mayGo(one));
      return index === -1 ? [] : this.#waiting.splice(index, 1);
    }
    let bytes = MARGIN_BYTES;
    let count = 0;
    for (const { bytes: more } of this.#waiting) {
      if (count === MAX_CALLS || (bytes + more > MAX_CALLS_BYTES && count > 0)) break;
      bytes += more;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  /** Its first answer, or the second: what was asked alone has been heard. */
  #answered(): void {
    if (this.#first === 'reporting') this.#letAllGo();
    if (this.#first !== 'asking') return;
    this.#first = 'reporting';
    setTimeout(() => this.#letAllGo(), FIRST_MILLISECONDS);
  }

  #letAllGo(): void {
    this.#first = 'over';
    void this.#run();
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    if (batch.length === 0) return;
    try {
      const results = await this.#options.send(batch.map(({ call }) => call));
      this.#answered();
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
