// The captures that this replica is making, each opened once; and the cluster's own survey of each, in the background.
import { type GapGroup, ImpoundError } from '../../evidence/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import { LiveCapture, type LiveOptions } from './live.ts';

export interface LiveCapturesOptions {
  readonly optionsOf: (
    capture: NodeCapture,
    bundle: string,
  ) => Promise<Omit<LiveOptions, 'capture' | 'bundle' | 'changed'>>;
  readonly surveyOf: (capture: NodeCapture, live: LiveCapture, signal: AbortSignal) => Promise<readonly GapGroup[]>;
  readonly changed: (name: string) => void;
}

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

  constructor(options: LiveCapturesOptions) {
    this.#options = options;
  }

  /** Begins or resumes the bundle of a capture whose status names it. */
  open(capture: NodeCapture): Promise<LiveCapture> {
    const uid = uidOf(capture);
    const known = this.#live.get(uid) ?? this.#open(capture);
    this.#live.set(uid, known);
    known.catch(() => this.#live.delete(uid));
    return known;
  }

  get(uid: string): LiveCapture | undefined {
    return this.#opened.get(uid);
  }

  get count(): number {
    return this.#opened.size;
  }

  /** Starts the survey where it was not; whether it has ended. */
  survey(capture: NodeCapture): boolean {
    const uid = uidOf(capture);
    const live = this.#opened.get(uid);
    if (live === undefined) return false;
    const known = this.#surveys.get(uid) ?? this.#survey(capture, live);
    this.#surveys.set(uid, known);
    return known.finished;
  }

  /** Its gaps, with more names than the chain has; throws what the store did to it. */
  async surveyGaps(uid: string): Promise<readonly GapGroup[]> {
    const survey = this.#surveys.get(uid);
    await survey?.done;
    if (survey?.failure !== undefined) {
      this.#surveys.delete(uid); // tried again, as another session
      throw survey.failure;
    }
    return survey?.gaps ?? [];
  }

  forget(uid: string): void {
    this.#surveys.get(uid)?.ending.abort();
    this.#surveys.delete(uid);
    this.#opened.get(uid)?.close();
    this.#opened.delete(uid);
    this.#live.delete(uid);
  }

  /** This replica leads no more. */
  forgetAll(): void {
    for (const uid of [...this.#live.keys()]) this.forget(uid);
  }

  async #open(capture: NodeCapture): Promise<LiveCapture> {
    const bundle = capture.status?.bundle?.id;
    if (bundle === undefined)
      throw new ImpoundError('internal', 'the status names no bundle', { operation: 'open capture' });
    const { name } = capture.metadata;
    const options = await this.#options.optionsOf(capture, bundle);
    const live = await LiveCapture.open({ ...options, capture, bundle, changed: () => this.#options.changed(name) });
    this.#opened.set(uidOf(capture), live);
    return live;
  }

  #survey(capture: NodeCapture, live: LiveCapture): Survey {
    const ending = new AbortController();
    const finish = (change: Partial<Survey>): void => {
      Object.assign(survey, change, { finished: true });
      this.#options.changed(capture.metadata.name);
    };
    const done = this.#options.surveyOf(capture, live, ending.signal).then(
      (gaps) => finish({ gaps }),
      (failure: unknown) => finish({ failure }),
    );
    const survey: Survey = { ending, done, gaps: [], finished: false, failure: undefined };
    return survey;
  }
}

export function uidOf({ metadata }: NodeCapture): string {
  return metadata.uid ?? '';
}
