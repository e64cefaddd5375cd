// The captures that this replica is making, each opened once; and the cluster's own survey of each, in the background.
import { type GapGroup, gate, ImpoundError } from '../../evidence/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import type { Turns } from '../turns.ts';
import { LiveCapture, type LiveOptions } from './live.ts';

export interface LiveCapturesOptions {
  readonly turns: Turns;
  readonly optionsOf: (
    capture: NodeCapture,
    bundle: string,
  ) => Promise<Omit<LiveOptions, 'capture' | 'bundle' | 'changed'>>;
  readonly surveyOf: (capture: NodeCapture, live: LiveCapture, signal: AbortSignal) => Promise<readonly GapGroup[]>;
  readonly changed: (name: string) => void;
}

/** Many captures may begin together, and agents are at work for them meanwhile. */
const SURVEYS_AT_ONCE = 3;

interface Survey {
  readonly ending: AbortController;
  readonly done: Promise<void>;
  gaps: readonly GapGroup[];
  finished: boolean;
  failure: unknown;
}

export class LiveCaptures {
  readonly #options: LiveCapturesOptions;
  /** By uid of the NodeCapture. */
  readonly #live = new Map<string, Promise<LiveCapture>>();
  readonly #opened = new Map<string, LiveCapture>();
  readonly #surveys = new Map<string, Survey>();
  /** Ids of bundles that were named here and begun by nobody yet. */
  readonly #fresh = new Set<string>();
  /** Of those that were forgotten while they ran. */
  readonly #leaving = new Set<Promise<void>>();
  readonly #surveying = gate(SURVEYS_AT_ONCE);

  constructor(options: LiveCapturesOptions) {
    this.#options = options;
  }

  /** From now on this replica leads. What it named at the very end of an earlier time others may have begun since. */
  begin(): void {
    this.#fresh.clear();
  }

  /** This replica has just written that id into a status: nothing of the bundle is there to be looked for. */
  named(bundle: string): void {
    this.#fresh.add(bundle);
  }

  /** Begins or resumes the bundle of a capture whose status names it. */
  open(capture: NodeCapture): Promise<LiveCapture> {
    const uid = uidOf(capture);
    const known = this.#live.get(uid);
    if (known !== undefined) return known;
    const opened = this.#options.turns
      .first(capture, () => this.#open(capture))
      .then(
        (live) => {
          if (this.#live.get(uid) === opened) this.#opened.set(uid, live);
          else live.close(); // forgotten meanwhile
          return live;
        },
        (error: unknown) => {
          if (this.#live.get(uid) === opened) this.#live.delete(uid);
          throw error;
        },
      );
    this.#live.set(uid, opened);
    return opened;
  }

  get(uid: string): LiveCapture | undefined {
    return this.#opened.get(uid);
  }

  /** Whether the node's agent is at work for another capture than this, which then has to wait. */
  isAgentBusy(node: string, uid: string): boolean {
    return this.#opened
      .entries()
      .some(([other, live]) => other !== uid && live.node === node && live.session !== undefined && !live.session.end);
  }

  /** Starts the survey where it was not; whether it has ended. Throws what the store did to it: asked again, it is tried again. */
  survey(capture: NodeCapture): boolean {
    const uid = uidOf(capture);
    const live = this.#opened.get(uid);
    if (live === undefined) return false;
    const known = this.#surveys.get(uid) ?? this.#survey(capture, live);
    this.#surveys.set(uid, known);
    if (known.failure !== undefined) {
      this.#surveys.delete(uid);
      throw known.failure;
    }
    return known.finished;
  }

  /** It is given up: what it has by now is kept. */
  endSurvey(uid: string): void {
    this.#surveys.get(uid)?.ending.abort();
  }

  /** Its gaps, with more names than the chain has. */
  surveyGaps(uid: string): readonly GapGroup[] {
    return this.#surveys.get(uid)?.gaps ?? [];
  }

  forget(uid: string): void {
    const survey = this.#surveys.get(uid);
    if (survey !== undefined && !survey.finished) {
      survey.ending.abort();
      this.#leaving.add(survey.done);
      void survey.done.then(() => this.#leaving.delete(survey.done));
    }
    this.#surveys.delete(uid);
    this.#opened.get(uid)?.close();
    this.#opened.delete(uid);
    this.#live.delete(uid);
  }

  /** This replica leads no more. Resolves when what ran in the background has ended; never rejects. */
  async forgetAll(): Promise<void> {
    for (const uid of [...this.#live.keys()]) this.forget(uid);
    await Promise.all(this.#leaving);
  }

  async #open(capture: NodeCapture): Promise<LiveCapture> {
    const bundle = capture.status?.bundle?.id;
    if (bundle === undefined)
      throw new ImpoundError('internal', 'the status names no bundle', { operation: 'open capture' });
    const { name } = capture.metadata;
    const fresh = this.#fresh.delete(bundle);
    const options = await this.#options.optionsOf(capture, bundle);
    return LiveCapture.open({ ...options, capture, bundle, changed: () => this.#options.changed(name) }, fresh);
  }

  #survey(capture: NodeCapture, live: LiveCapture): Survey {
    const ending = new AbortController();
    const finish = (change: Partial<Survey>): void => {
      Object.assign(survey, change, { finished: true });
      this.#options.changed(capture.metadata.name);
    };
    const { surveyOf, turns } = this.#options;
    const surveyed = this.#surveying(async () => {
      await turns.calm();
      return surveyOf(capture, live, ending.signal);
    });
    const done = surveyed.then(
      (gaps) => finish({ gaps }),
      (failure: unknown) => finish({ failure: failure ?? new Error('no reason') }),
    );
    const survey: Survey = { ending, done, gaps: [], finished: false, failure: undefined };
    return survey;
  }
}

export function uidOf({ metadata }: NodeCapture): string {
  return metadata.uid ?? '';
}
