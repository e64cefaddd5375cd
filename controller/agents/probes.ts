// Tries a node's own way to the store: its idle agent is given a tiny object to store, as evidence would be, and the store
// is asked whether it is there.
import { createHash, randomBytes } from 'node:crypto';
import { type Receiver, type Store, type Uploads, unlessAborted } from '../../evidence/index.ts';
import { PROBE_SECONDS, type ProbedRequest, type ProbeOrder } from '../../protocol/index.ts';
import { Problem } from '../http/problem.ts';
import type { AgentDesk } from './desk.ts';

type Said = Pick<ProbedRequest, 'milliseconds' | 'runtimes'>;

export type ProbeResult =
  | (Said & { readonly outcome: 'stored' })
  | (Said & { readonly outcome: 'failed'; readonly code: string; readonly message: string })
  /** Nobody took it, or nobody said what became of it. */
  | { readonly outcome: 'silent' };

export interface ProbesOptions {
  /** Below which they lie, each in a folder of its own. */
  readonly store: Store;
  readonly desk: AgentDesk;
  /** Of a probe, where the controller takes its bytes itself. */
  readonly receiver: (id: string) => Receiver;
  /** Removes what a probe has left, where that can be done. */
  readonly tidy: (folder: string) => Promise<void>;
}

/** Beside those of `impound check --store`. */
const FOLDER = '.impound-check';
const PATH = 'data/00-meta/probe.txt';
const URL_SECONDS = 60;
/** An idle agent's poll waits already; one that is between two of them comes soon. */
const TAKEN_MILLISECONDS = 10_000;
/** It says so within this after it was taken. */
const SAID_MILLISECONDS = (PROBE_SECONDS + 5) * 1000;

interface Running {
  readonly node: string;
  readonly uploads: Uploads;
  readonly said: (request: ProbedRequest) => void;
}

export class Probes {
  readonly #options: ProbesOptions;
  readonly #running = new Map<string, Running>();

  constructor(options: ProbesOptions) {
    this.#options = options;
  }

  /** Of the node whose agent is idle. Throws what the store does where no URL can be granted. */
  async try(node: string, signal: AbortSignal): Promise<ProbeResult> {
    const { store, desk, receiver, tidy } = this.#options;
    const id = randomBytes(16).toString('hex');
    const folder = `${FOLDER}/${id}`;
    const own = store.below(folder);
    const uploads = own.uploads({ seconds: URL_SECONDS, receiver: receiver(id) });
    const body = `"impound check" tried here at ${new Date().toISOString()} whether this node reaches the store. No evidence. ${id}\n`;
    const sha256 = createHash('sha256').update(body).digest('hex');
    const claim = { path: PATH, size: Buffer.byteLength(body), sha256 };
    const order: ProbeOrder = { id, ...(await uploads.grants.grantObject(claim)), body };
    const said = Promise.withResolvers<ProbedRequest>();
    this.#running.set(id, { node, uploads, said: said.resolve });
    try {
      const limited = (milliseconds: number) => AbortSignal.any([signal, AbortSignal.timeout(milliseconds)]);
      if (!(await desk.probe(node, order, limited(TAKEN_MILLISECONDS)))) return { outcome: 'silent' };
      const request = await unlessAborted(said.promise, limited(SAID_MILLISECONDS), () => undefined);
      if (request === undefined) return { outcome: 'silent' };
      const { failure, ...told } = request;
      if (failure !== undefined) return { outcome: 'failed', ...told, ...failure };
      if ((await uploads.grants.finished(claim)) !== undefined) return { outcome: 'stored', ...told };
      const message = 'the agent says that it was stored, and the store does not have it';
      return { outcome: 'failed', ...told, code: 'object-missing', message };
    } finally {
      this.#running.delete(id);
      await own.finish();
      await tidy(folder);
    }
  }

  /** Throws a Problem 404 for one that this node was not given, or that nobody waits for any more. */
  report(id: string, node: string, request: ProbedRequest): void {
    const running = this.#running.get(id);
    if (running?.node !== node) throw new Problem(404, 'not-found', 'nobody waits for this probe');
    running.said(request);
  }

  /** Where the controller takes bytes of this probe. */
  uploads(id: string): Uploads | undefined {
    return this.#running.get(id)?.uploads;
  }
}
