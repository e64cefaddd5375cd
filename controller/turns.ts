// Who goes first where many captures begin at once: what leads to a node's first evidence goes before more evidence of nodes
// whose first is stored, and before what can be asked for as well some seconds later.
import { gate } from '../evidence/index.ts';
import type { NodeCapture } from '../protocol/index.ts';
import { ageOf } from './age.ts';

export interface Turns {
  /** From now until `begun` the capture of this name has no evidence of its node yet. */
  begins(name: string): void;
  /** Whether it is to go on: so many of those that begin do at once, until their first evidence. The others are woken in their turn. */
  mayGoOn(capture: NodeCapture): boolean;
  /**
   * It is offered to its agent. Where others begin too, they wait a moment for its first evidence; a node that stores none is not
   * waited for, nor one whose agent was not there to hear of it.
   */
  told(name: string, heard: boolean): void;
  begun(name: string): void;
  /** Nothing begins any more. */
  clear(): void;
  /** Runs `work` for a capture when it is its turn, the oldest capture's first. It must not wait for a turn itself. */
  first<T>(capture: NodeCapture, work: () => Promise<T>): Promise<T>;
  /** Nothing begins or goes first, or it has been otherwise for some seconds. Who hears that it is not so is woken when it is. */
  isCalm(name?: string): boolean;
  /** Resolves when it is. */
  calm(): Promise<void>;
}

/** So long the others wait, and then no more until it was calm once: what never gets on holds nobody up. */
const PATIENCE_MILLISECONDS = 10_000;
/** So long for the first evidence of one whose agent was told. */
const TOLD_MILLISECONDS = 4000;

/** Who is to be woken looks again after this all the same. */
export const TURN_MILLISECONDS = 1000;

export interface TurnsOptions {
  /** Of what goes first, so many are done at the same time. */
  readonly atOnce: number;
  /** So many captures begin at the same time: all at once would get to their first evidence together, and late. */
  readonly begin: number;
  /** Whether `mayGoOn` or `isCalm` says otherwise now of the capture of this name. */
  readonly wake: (name: string) => void;
  /** Milliseconds; for tests. */
  readonly patience?: number;
  readonly moment?: number;
}

export function makeTurns(options: TurnsOptions): Turns {
  const { atOnce, wake, patience = PATIENCE_MILLISECONDS, moment = TOLD_MILLISECONDS } = options;
  /** By name; with what ends it where its agent was told. */
  const beginning = new Map<string, NodeJS.Timeout | undefined>();
  /** Of these, those that go on. */
  const ahead = new Set<string>();
  /** That are to be woken when they may go on, with their age; and when it is calm. */
  const waiting = new Map<string, string>();
  const restless = new Set<string>();
  const enter = gate(atOnce);
  let going = 0;
  let timer: NodeJS.Timeout | undefined;
  let rush: PromiseWithResolvers<void> | undefined;
  const end = (): void => {
    rush?.resolve();
    rush = undefined;
    for (const name of [...waiting.keys(), ...restless]) wake(name);
    waiting.clear();
    restless.clear();
  };

  /** After each change. */
  const settle = (): void => {
    if (beginning.size === 0 && going === 0) {
      clearTimeout(timer);
      timer = undefined;
      end();
    } else if (timer === undefined) {
      timer = setTimeout(end, patience);
      rush = Promise.withResolvers();
    }
  };

  const wakeNext = (): void => {
    const [oldest] = [...waiting].sort(([, one], [, other]) => (one < other ? -1 : 1));
    if (oldest === undefined) return;
    waiting.delete(oldest[0]);
    wake(oldest[0]);
  };

  const begun = (name: string): void => {
    clearTimeout(beginning.get(name));
    waiting.delete(name);
    if (ahead.delete(name)) wakeNext();
    if (beginning.delete(name)) settle();
  };

  return {
    begins(name) {
      if (!beginning.has(name)) beginning.set(name, undefined);
      settle();
    },
    mayGoOn(capture) {
      const { name } = capture.metadata;
      if (rush === undefined || !beginning.has(name)) return true;
      if (ahead.size < options.begin) ahead.add(name);
      if (!ahead.has(name)) waiting.set(name, ageOf(capture));
      return ahead.has(name);
    },
    told(name, heard) {
      if (!beginning.has(name) || beginning.get(name) !== undefined) return;
      if (beginning.size === 1 || !heard) begun(name);
      else beginning.set(name, setTimeout(() => begun(name), moment).unref());
    },
    begun,
    clear() {
      for (const name of [...beginning.keys()]) begun(name);
    },
    async first(capture, work) {
      going++;
      settle();
      try {
        return await enter(work, ageOf(capture));
      } finally {
        going--;
        settle();
      }
    },
    isCalm(name) {
      if (rush !== undefined && name !== undefined) restless.add(name);
      return rush === undefined;
    },
    calm: async () => rush?.promise,
  };
}
