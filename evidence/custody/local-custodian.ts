// A custodian that writes store and chain itself: `capture --local`, and the controller.
import { ImpoundError } from '../errors.ts';
import type { CollectDetails } from '../format/entry.ts';
import { ENCRYPTED, sessionPath } from '../format/layout.ts';
import type { ArtefactRecord, ClockSample, CollectorEnd } from '../format/record.ts';
import { nonce } from '../id.ts';
import type { Clock } from '../ports.ts';
import type { ObjectWriter, Store } from '../store/store.ts';
import type { AgeEncryptor } from '../stream/age/encrypt.ts';
import type { AgeRecipient } from '../stream/age/recipients.ts';
import { type Sha256Stream, sha256Stream } from '../stream/hash.ts';
import type { ChainWriter } from './chain-writer.ts';
import type { ArtefactEnd, ArtefactSpec, ArtefactWriter, Custodian } from './custodian.ts';

/** An entry names what was stored in the last second at most. */
const BATCH_MILLISECONDS = 1000;
/** Keeps an entry far below its largest size. */
const BATCH_RECORDS = 500;
/** A part takes some 100 bytes of an entry, a record some 400. */
const PARTS_PER_RECORD = 4;

/** What a bundle says of itself is for everybody who may list it. */
const META = 'data/00-meta/';

export interface LocalCustodianOptions {
  readonly store: Pick<Store, 'create'>;
  readonly chain: ChainWriter;
  readonly clock: Clock;
  /** Whom artefacts are encrypted to, all but those below 00-meta; nobody where there is none. */
  readonly recipients?: readonly AgeRecipient[];
  /** Shown the stored bytes of an artefact as they were before encryption, where it gives something to show them to. */
  readonly show?: (path: string) => ((chunk: Uint8Array) => void) | undefined;
}

/** An artefact while it is written. */
interface Open {
  readonly object: ObjectWriter;
  readonly spec: ArtefactSpec;
  readonly begun: string;
  readonly secret: { readonly encryptor: AgeEncryptor; readonly plain: Sha256Stream } | undefined;
}

export class LocalCustodian implements Custodian {
  readonly #options: LocalCustodianOptions;
  #records: ArtefactRecord[] = [];
  #ended: CollectorEnd[] = [];
  #samples: ClockSample[] = [];
  /** What is being appended; kept until it is known to be on the chain, since an answer may be lost. */
  #batch: { readonly details: CollectDetails; readonly nonce: string } | undefined;
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
    const plainPath = sessionPath(spec.path, spec.session);
    const secret = await this.#secret(plainPath);
    const path = secret === undefined ? plainPath : `${plainPath}${ENCRYPTED}`;
    const object = await store.create(path);
    const open: Open = { object, spec: { ...spec, path }, begun: clock.now().toISOString(), secret };
    if (secret !== undefined) await object.write(secret.encryptor.header);
    const show = this.#options.show?.(plainPath);
    return {
      write: (chunk) => {
        show?.(chunk);
        return this.#write(open, chunk);
      },
      close: (end) => this.#close(open, end, true),
    };
  }

  async #secret(path: string): Promise<Open['secret']> {
    const { recipients = [] } = this.#options;
    if (recipients.length === 0 || path.startsWith(META)) return undefined;
    const { ageEncryptor } = await import('../stream/age/encrypt.ts');
    return { encryptor: await ageEncryptor(recipients), plain: sha256Stream() };
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
    // what comes meanwhile waits for a second of its own
    let left = this.#records.length + this.#ended.length + this.#samples.length;
    while (left > 0) {
      this.#batch ??= { details: this.#nextDetails(), nonce: nonce() };
      const { details, nonce: own } = this.#batch;
      const { artefacts, ended = [], clock = [] } = details;
      const subjects = artefacts.map(({ path, sha256 }) => ({ name: path, digest: { sha256 } }));
      await this.#options.chain.append('collect', details, subjects, own);
      this.#batch = undefined;
      left -= artefacts.length + ended.length + clock.length;
      this.#records.splice(0, artefacts.length);
      this.#ended.splice(0, ended.length);
      this.#samples.splice(0, clock.length);
    }
    this.#failure = undefined;
  }

  #nextDetails(): CollectDetails {
    const ended = this.#ended.slice(0, BATCH_RECORDS);
    const clock = this.#samples.slice(0, BATCH_RECORDS);
    return {
      artefacts: fitting(this.#records),
      ...(ended.length === 0 ? {} : { ended }),
      ...(clock.length === 0 ? {} : { clock }),
    };
  }

  async #write(open: Open, chunk: Uint8Array): Promise<void> {
    const { object, secret } = open;
    try {
      if (secret === undefined) return await object.write(chunk);
      await secret.plain.update(chunk);
      for (const piece of secret.encryptor.update(chunk)) await object.write(piece);
    } catch (error) {
      if (error instanceof ImpoundError && error.code === 'store-full') {
        await this.#close(open, { truncated: 'the store was full' }, false);
      }
      throw error;
    }
  }

  /** Without `ended` an encrypted artefact is left as it is: there is no room for its end. */
  async #close({ object, spec, begun, secret }: Open, end: ArtefactEnd, ended: boolean): Promise<ArtefactRecord> {
    if (ended && secret !== undefined) await object.write(secret.encryptor.end());
    const plainSha256 = await secret?.plain.hex();
    // after the seal it would be there and named by nothing; after any other failure it is kept for the rescue
    if (this.#failure instanceof ImpoundError && this.#failure.code === 'bundle-sealed') throw this.#failure;
    const stored = await object.commit();
    const record: ArtefactRecord = {
      path: spec.path,
      ...stored,
      collector: spec.collector,
      session: spec.session,
      source: spec.source,
      begun,
      ended: this.#options.clock.now().toISOString(),
      ...(plainSha256 === undefined ? {} : { plainSha256 }),
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

/** As many of the first records as fit into one entry: a record of many parts is as long as many records. */
function fitting(records: readonly ArtefactRecord[]): readonly ArtefactRecord[] {
  let weight = 0;
  let count = 0;
  for (const { parts = [] } of records) {
    weight += 1 + parts.length / PARTS_PER_RECORD;
    if (weight > BATCH_RECORDS && count > 0) break;
    count++;
  }
  return records.slice(0, count);
}
