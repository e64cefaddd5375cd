// A custodian that writes store and chain itself: `capture --local`, and the controller.
import { ImpoundError } from '../errors.ts';
import type { CollectDetails } from '../format/entry.ts';
import { sessionPath } from '../format/layout.ts';
import type { ArtefactRecord, ClockSample, CollectorEnd } from '../format/record.ts';
import type { Clock } from '../ports.ts';
import type { ObjectWriter, Store } from '../store/store.ts';
import type { ChainWriter } from './chain-writer.ts';
import type { ArtefactEnd, ArtefactSpec, ArtefactWriter, Custodian } from './custodian.ts';

/** An entry names what was stored in the last second at most. */
const BATCH_MILLISECONDS = 1000;
/** Keeps an entry far below its largest size. */
const BATCH_RECORDS = 500;

export interface LocalCustodianOptions {
  readonly store: Store;
  readonly chain: ChainWriter;
  readonly clock: Clock;
}

export class LocalCustodian implements Custodian {
  readonly #options: LocalCustodianOptions;
  #records: ArtefactRecord[] = [];
  #ended: CollectorEnd[] = [];
  #samples: ClockSample[] = [];
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> = Promise.resolve();
  /** Why the last flush by the timer failed: thrown at the next artefact. */
  #failure: unknown;

  constructor(options: LocalCustodianOptions) {
    this.#options = options;
  }

  async open(spec: ArtefactSpec): Promise<ArtefactWriter> {
    this.#throwFailure();
    const { store, clock } = this.#options;
    const path = sessionPath(spec.path, spec.session);
    const begun = clock.now().toISOString();
    const object = await store.create(path);
    return {
      write: (chunk) => this.#write(object, chunk, { ...spec, path }, begun),
      close: (end) => this.#close(object, { ...spec, path }, begun, end),
    };
  }

  async ended(end: CollectorEnd): Promise<void> {
    this.#ended.push(end);
    this.#schedule();
  }

  clock(sample: ClockSample): void {
    this.#samples.push(sample);
    this.#schedule();
  }

  /** Puts all that is waiting on the chain now; what could not be appended waits for the next try. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const flushed = this.#flushing.then(() => this.#append());
    this.#flushing = flushed.catch(() => undefined);
    return flushed;
  }

  async #append(): Promise<void> {
    while (this.#records.length + this.#ended.length + this.#samples.length > 0) {
      const artefacts = this.#records.slice(0, BATCH_RECORDS);
      const ended = this.#ended.slice(0, BATCH_RECORDS);
      const clock = this.#samples.slice(0, BATCH_RECORDS);
      const details: CollectDetails = {
        artefacts,
        ...(ended.length === 0 ? {} : { ended }),
        ...(clock.length === 0 ? {} : { clock }),
      };
      const subjects = artefacts.map(({ path, sha256 }) => ({ name: path, digest: { sha256 } }));
      await this.#options.chain.append('collect', details, subjects);
      this.#records.splice(0, artefacts.length);
      this.#ended.splice(0, ended.length);
      this.#samples.splice(0, clock.length);
    }
    this.#failure = undefined;
  }

  async #write(object: ObjectWriter, chunk: Uint8Array, spec: ArtefactSpec, begun: string): Promise<void> {
    try {
      await object.write(chunk);
    } catch (error) {
      if (error instanceof ImpoundError && error.code === 'store-full') {
        await this.#close(object, spec, begun, { truncated: 'the store was full' });
      }
      throw error;
    }
  }

  async #close(object: ObjectWriter, spec: ArtefactSpec, begun: string, end: ArtefactEnd): Promise<ArtefactRecord> {
    const stored = await object.commit();
    const record: ArtefactRecord = {
      path: spec.path,
      ...stored,
      collector: spec.collector,
      session: spec.session,
      source: spec.source,
      begun,
      ended: this.#options.clock.now().toISOString(),
      ...end,
    };
    this.#records.push(record);
    if (this.#records.length >= BATCH_RECORDS) await this.flush();
    else this.#schedule();
    return record;
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.flush().catch((error: unknown) => {
        this.#failure ??= error;
      });
    }, BATCH_MILLISECONDS);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
