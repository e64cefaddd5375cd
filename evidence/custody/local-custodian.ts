// A custodian that writes store and chain itself: `capture --local`, and the controller.
import { ImpoundError } from '../errors.ts';
import type { ClockSample, CollectorEnd } from '../format/record.ts';
import { type ArtefactOptions, openArtefact } from './artefact.ts';
import { ChainBatch } from './chain-batch.ts';
import type { ChainWriter } from './chain-writer.ts';
import type { ArtefactSpec, ArtefactWriter, Custodian } from './custodian.ts';

export interface LocalCustodianOptions extends ArtefactOptions {
  readonly chain: ChainWriter;
}

export class LocalCustodian implements Custodian {
  readonly #options: LocalCustodianOptions;
  readonly #batch: ChainBatch;

  constructor(options: LocalCustodianOptions) {
    this.#options = options;
    this.#batch = new ChainBatch(options);
  }

  async open(spec: ArtefactSpec): Promise<ArtefactWriter> {
    if (this.#batch.failure !== undefined) throw this.#batch.failure;
    const mayStore = (): void => {
      // after the seal it would be there and named by nothing; after any other failure it is kept for the rescue
      const { failure } = this.#batch;
      if (failure instanceof ImpoundError && failure.code === 'bundle-sealed') throw failure;
    };
    return openArtefact({ ...this.#options, mayStore, stored: (record) => this.#batch.record(record) }, spec);
  }

  async ended(end: CollectorEnd): Promise<void> {
    this.#batch.ended(end);
  }

  clock(sample: ClockSample): void {
    this.#batch.clock(sample);
  }

  /** Puts all that is waiting on the chain now; what could not be appended waits for the next try. */
  flush(): Promise<void> {
    return this.#batch.flush();
  }
}
