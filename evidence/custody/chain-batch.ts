// Gathers what is to be said of stored artefacts, and puts it on the chain once a second.
import type { CollectDetails } from '../format/entry.ts';
import type { ArtefactRecord, ClockSample, CollectorEnd } from '../format/record.ts';
import { nonce } from '../id.ts';
import type { Actor } from '../ports.ts';
import type { ChainWriter } from './chain-writer.ts';

/** An entry names what was stored in the last second at most. */
const BATCH_MILLISECONDS = 1000;
/** Records that are appended without waiting for the second to end. */
const BATCH_RECORDS = 500;
/** Of JSON: base64 and the subjects, which name each artefact once more, keep the entry below its largest size. */
const BATCH_BYTES = 1024 * 1024;

export interface ChainBatchOptions {
  readonly chain: ChainWriter;
  /** Whose word it is, where that is not the chain's writer. */
  readonly actor?: Actor;
}

export class ChainBatch {
  readonly #options: ChainBatchOptions;
  readonly #records: ArtefactRecord[] = [];
  readonly #ended: CollectorEnd[] = [];
  readonly #samples: ClockSample[] = [];
  /** What is being appended; kept until it is known to be on the chain, since an answer may be lost. */
  #batch: { readonly details: CollectDetails; readonly nonce: string } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #failure: unknown;

  constructor(options: ChainBatchOptions) {
    this.#options = options;
  }

  /** Why the last append by the timer failed; what it should have appended waits for the next try. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Waits where there is as much as an entry takes. */
  async record(record: ArtefactRecord): Promise<void> {
    this.#records.push(record);
    if (this.#records.length >= BATCH_RECORDS) await this.flush();
    else this.#schedule();
  }

  ended(end: CollectorEnd): void {
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

  /** Appends nothing more by itself. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #append(): Promise<void> {
    const { chain, actor } = this.#options;
    // what comes meanwhile waits for a second of its own
    let left = this.#records.length + this.#ended.length + this.#samples.length;
    while (left > 0) {
      this.#batch ??= { details: this.#nextDetails(), nonce: nonce() };
      const { details, nonce: own } = this.#batch;
      const { artefacts, ended = [], clock = [] } = details;
      const subjects = artefacts.map(({ path, sha256 }) => ({ name: path, digest: { sha256 } }));
      await chain.append('collect', details, { subjects, nonce: own, ...(actor === undefined ? {} : { actor }) });
      this.#batch = undefined;
      left -= artefacts.length + ended.length + clock.length;
      this.#records.splice(0, artefacts.length);
      this.#ended.splice(0, ended.length);
      this.#samples.splice(0, clock.length);
    }
    this.#failure = undefined;
  }

  #nextDetails(): CollectDetails {
    const room = { bytes: BATCH_BYTES };
    const artefacts = fitting(this.#records, room);
    const ended = fitting(this.#ended, room);
    const clock = fitting(this.#samples, room);
    return {
      artefacts,
      ...(ended.length === 0 ? {} : { ended }),
      ...(clock.length === 0 ? {} : { clock }),
    };
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.flush().catch((error: unknown) => {
        this.#failure ??= error;
      });
    }, BATCH_MILLISECONDS);
  }
}

/** As many of the first as fit into what room is left of one entry; the very first of an entry always does. */
function fitting<T extends object>(items: readonly T[], room: { bytes: number }): readonly T[] {
  let count = 0;
  for (const item of items) {
    const bytes = Buffer.byteLength(JSON.stringify(item));
    if (bytes > room.bytes && room.bytes < BATCH_BYTES) {
      room.bytes = 0;
      break;
    }
    room.bytes -= bytes;
    count++;
  }
  return items.slice(0, count);
}
