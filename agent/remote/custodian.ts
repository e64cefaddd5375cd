// A custodian that has neither store nor chain: what it stores it claims first, and what it stored it reports; the
// controller looks at it, and writes the chain.
import {
  type AgeRecipient,
  type ArtefactSpec,
  type ArtefactWriter,
  type Clock,
  type ClockSample,
  type CollectorEnd,
  type Custodian,
  describeError,
  type Logger,
  openArtefact,
  type Uploader,
  uploader,
} from '../../evidence/index.ts';
import { type AgentCall, BEAT_SECONDS } from '../../protocol/index.ts';
import { uploadGrants } from './grants.ts';
import { CallLane } from './lane.ts';
import type { Link } from './link.ts';

export interface RemoteCustodianOptions {
  readonly link: Link;
  /** Of the capture. */
  readonly uid: string;
  readonly session: number;
  readonly recipients: readonly AgeRecipient[];
  /** PEM of the authority of a controller that takes the bytes itself. */
  readonly ca: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** The controller wants no more, for this reason. */
  readonly stop: (reason: string) => void;
}

/**
 * Grants are waited for by whoever sends: each request takes what has gathered meanwhile, and one that is slow, since the store
 * is, has others beside it. As a rule there is one, since another is another connection.
 */
const GRANTS = { requests: 4, milliseconds: 0, beside: 500, firstAlone: true };
/** An entry names what was stored in the last second. */
const RECORDS = { requests: 1, milliseconds: 1000, beside: 0, firstAlone: false };

export class RemoteCustodian implements Custodian {
  readonly #options: RemoteCustodianOptions;
  readonly #uploader: Uploader;
  readonly #records: CallLane;
  readonly #pending = new Set<Promise<void>>();
  readonly #beat: NodeJS.Timeout;
  #sent = performance.now();
  #beating = false;
  #failure: unknown;

  constructor(options: RemoteCustodianOptions) {
    this.#options = options;
    const send = (calls: readonly AgentCall[]) => this.#send(calls);
    const grants = new CallLane({ ...GRANTS, send });
    this.#records = new CallLane({ ...RECORDS, send });
    this.#uploader = uploader({ grants: uploadGrants((call) => grants.ask(call)), ca: options.ca });
    this.#beat = setInterval(() => this.#keepHeard(), (BEAT_SECONDS * 1000) / 2);
  }

  async open(spec: ArtefactSpec): Promise<ArtefactWriter> {
    this.#throwFailure();
    const { clock, recipients } = this.#options;
    const mayStore = (): void => this.#throwFailure();
    return openArtefact(
      {
        store: this.#uploader,
        clock,
        recipients,
        mayStore,
        // how the store calls it the controller has seen itself
        stored: async ({ versionId: _version, etag: _etag, ...record }) =>
          this.#report({ kind: 'record', record: record as Extract<AgentCall, { kind: 'record' }>['record'] }),
      },
      spec,
    );
  }

  async ended(end: CollectorEnd): Promise<void> {
    const gaps = end.gaps.map((group) => ({ ...group, names: [...group.names] }));
    this.#report({ kind: 'ended', end: { ...end, gaps } });
  }

  clock(sample: ClockSample): void {
    this.#report({ kind: 'clock', sample });
  }

  /** All that was reported is on the chain then; throws why it is not. */
  async flush(): Promise<void> {
    this.#records.hurry();
    while (this.#pending.size > 0) await Promise.all(this.#pending);
    this.#throwFailure();
  }

  close(): void {
    clearInterval(this.#beat);
    this.#uploader.close();
  }

  #report(call: AgentCall): void {
    const reported = this.#records.ask(call).then(
      () => undefined,
      (error: unknown) => {
        this.#failure ??= error;
      },
    );
    this.#pending.add(reported);
    void reported.finally(() => this.#pending.delete(reported));
  }

  async #send(calls: readonly AgentCall[]) {
    const { link, uid, session, stop } = this.#options;
    this.#sent = performance.now();
    const answered = await link.calls(uid, session, calls);
    if (answered.stop !== undefined) stop(answered.stop);
    return answered.results;
  }

  /** A collector that reads for long says nothing meanwhile, and is not to be taken for silent. */
  #keepHeard(): void {
    if (this.#beating || performance.now() - this.#sent < (BEAT_SECONDS * 1000) / 2) return;
    this.#beating = true;
    this.#send([])
      .catch((error: unknown) => {
        this.#options.log.warn('a beat was not heard', { error: describeError(error) });
        this.#failure ??= error;
        this.#options.stop('the controller is not there any more');
      })
      .finally(() => {
        this.#beating = false;
      });
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
