// The main thread's side of the timeline's worker: its messages one by one, at the reader's pace.
import { Worker } from 'node:worker_threads';
import { describeError, workerScript } from '../../../evidence/index.ts';
import { COUNTERS, CREDIT, STOP, type TimelineMessage, type TimelineOrder } from './shared.ts';

/** Chunks of some 256 KiB that are made ahead. */
const IN_FLIGHT = 4;

/** Ends with the worker, or with the signal; throws where the worker failed. Who stops reading ends the worker. */
export async function* timelineMessages(
  order: Omit<TimelineOrder, 'counters'>,
  signal: AbortSignal,
): AsyncGenerator<TimelineMessage> {
  const counters = new Int32Array(new SharedArrayBuffer(COUNTERS * 4));
  counters[CREDIT] = IN_FLIGHT;
  const messages: TimelineMessage[] = [];
  let failure: Error | undefined;
  let ended = false;
  let wake: (() => void) | undefined;
  const changed = (): void => wake?.();
  const workerData: TimelineOrder = { ...order, counters: counters.buffer as SharedArrayBuffer };
  const worker = new Worker(workerScript('./body-worker', import.meta.url), { workerData });
  worker.on('message', (message: TimelineMessage) => {
    messages.push(message);
    changed();
  });
  worker.on('error', (error) => {
    failure = new Error(describeError(error));
    changed();
  });
  worker.on('exit', () => {
    ended = true;
    changed();
  });
  signal.addEventListener('abort', changed, { once: true });
  try {
    for (;;) {
      const message = messages.shift();
      if (message !== undefined) {
        yield message;
        if (message.kind === 'end') return;
        Atomics.add(counters, CREDIT, 1);
        Atomics.notify(counters, CREDIT);
      } else if (failure !== undefined) {
        throw failure;
      } else if (signal.aborted) {
        throw new Error('stopped before all trees were walked');
      } else if (ended) {
        throw new Error('its thread ended early');
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    signal.removeEventListener('abort', changed);
    Atomics.store(counters, STOP, 1);
    Atomics.notify(counters, CREDIT);
    // a thread in a system call that does not come back cannot be waited for
    worker.unref();
    void worker.terminate();
  }
}
