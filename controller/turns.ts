// Who goes first where many captures begin at once: what leads to a node's first evidence goes before more evidence of nodes
// whose first is stored, and before what can be asked for as well some seconds later.

import { gate } from '../evidence/index.ts';

export interface Turns {
  /** From now until `begun` the capture of this name has not told its agent yet. */
  begins(name: string): void;
  begun(name: string): void;
  /** Nothing begins any more. */
  clear(): void;
  /** Runs `work` when it is its turn. It must not wait for a turn itself. */
  first<T>(work: () => Promise<T>): Promise<T>;
  /** Nothing begins or goes first, or it has been otherwise for some seconds. */
  isCalm(): boolean;
  /** Resolves when it is. */
  calm(): Promise<void>;
}

/** So long the others wait, and then no more until it was calm once: what never gets on holds nobody up. */
const PATIENCE_MILLISECONDS = 10_000;

/** Of what goes first, `atOnce` are done at the same time, the others in the order in which they came. */
export function makeTurns(atOnce: number, patience: number = PATIENCE_MILLISECONDS): Turns {
  const beginning = new Set<string>();
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

  return {
    begins(name) {
      beginning.add(name);
      settle();
    },
    begun(name) {
      if (beginning.delete(name)) settle();
    },
    clear() {
      beginning.clear();
      settle();
    },
    async first(work) {
      going++;
      settle();
      try {
        return await enter(work);
      } finally {
        going--;
        settle();
      }
    },
    isCalm: () => rush === undefined,
    calm: async () => rush?.promise,
  };
}
