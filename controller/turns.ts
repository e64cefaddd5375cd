// Who goes first where many captures begin at once: what leads to a node's first evidence goes before more evidence of nodes
// whose first is stored, and before what can be asked for as well some seconds later.
import { gate } from '../evidence/index.ts';
import type { NodeCapture } from '../protocol/index.ts';
import { ageOf } from './age.ts';

export interface Turns {
  /** From now until `begun` the capture of this name has no evidence of its node yet. */
  begins(name: string): void;
  /** Its agent knows. Where others begin too, they wait a moment for its first evidence; a node that stores none is not waited for. */
  told(name: string): void;
  begun(name: string): void;
  /** Nothing begins any more. */
  clear(): void;
  /** Runs `work` for a capture when it is its turn, the oldest capture's first. It must not wait for a turn itself. */
  first<T>(capture: NodeCapture, work: () => Promise<T>): Promise<T>;
  /** Nothing begins or goes first, or it has been otherwise for some seconds. */
  isCalm(): boolean;
  /** Resolves when it is. */
  calm(): Promise<void>;
}

/** So long the others wait, and then no more until it was calm once: what never gets on holds nobody up. */
const PATIENCE_MILLISECONDS = 10_000;
/** So long for the first evidence of one whose agent was told. */
const TOLD_MILLISECONDS = 4000;

/** Of what goes first, `atOnce` are done at the same time: all at once would get to their first evidence together, and late. */
export function makeTurns(
  atOnce: number,
  patience: number = PATIENCE_MILLISECONDS,
  moment: number = TOLD_MILLISECONDS,
): Turns {
  /** By name; with what ends it where its agent was told. */
  const beginning = new Map<string, NodeJS.Timeout | undefined>();
  const enter = gate(atOnce);
  let going = 0;
  let timer: NodeJS.Timeout | undefined;
  let rush: PromiseWithResolvers<void> | undefined;
  const end = (): void => {
    rush?.resolve();
    rush = undefined;
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

  const begun = (name: string): void => {
    clearTimeout(beginning.get(name));
    if (beginning.delete(name)) settle();
  };

  return {
    begins(name) {
      if (!beginning.has(name)) beginning.set(name, undefined);
      settle();
    },
    told(name) {
      if (!beginning.has(name) || beginning.get(name) !== undefined) return;
      if (beginning.size === 1) begun(name);
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
    isCalm: () => rush === undefined,
    calm: async () => rush?.promise,
  };
}
