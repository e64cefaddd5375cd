// Worker thread: walks /proc with synchronous calls and sends what it read in batches, waiting for credit between them.
import { parentPort, workerData } from 'node:worker_threads';
import type { Gap } from '../../evidence/index.ts';
import { gapOf } from './errno.ts';
import { listNumbers } from './list.ts';
import { kernelReader } from './read.ts';
import { BatchWriter } from './walk/batch.ts';
import { readProcess, type WalkState } from './walk/read-process.ts';
import { CREDIT, NAME, NAMES, PID, PROGRESS, type WalkMessage, type WalkOrder } from './walk/shared.ts';

const BATCH_BYTES = 256 * 1024;
const BATCH_PROCESSES = 64;
/** More than any pid_max, see proc_sys_kernel(5). */
const MAX_PIDS = 4_194_304;

// the errors of vanished files are many, and nobody reads where they were thrown
Error.stackTraceLimit = 0;
walk(workerData as WalkOrder);

function walk(order: WalkOrder): void {
  const counters = new Int32Array(order.counters);
  const names = new Map(NAMES.map((name, index) => [name, index]));
  const skip = new Set(order.skip);
  const batch = new BatchWriter();
  const state: WalkState = {
    proc: order.proc,
    raw: order.raw,
    reader: kernelReader(),
    batch,
    mountNamespaces: new Set(order.mountNamespaces),
    unsupported: new Set(),
    skipped: (pid, name) => skip.size > 0 && (skip.has(`${pid} ${name}`) || skip.has(`* ${name}`)),
    progress(pid, name) {
      counters[PID] = pid;
      counters[NAME] = names.get(name) ?? 0;
      Atomics.add(counters, PROGRESS, 1);
    },
  };
  let gaps: Gap[] = [];
  const flush = (): void => {
    // sleeps until the main thread has taken what it was given before
    while (Atomics.load(counters, CREDIT) === 0) {
      Atomics.wait(counters, CREDIT, 0, 200);
      Atomics.add(counters, PROGRESS, 1); // waiting is no stall
    }
    Atomics.sub(counters, CREDIT, 1);
    const taken = batch.take();
    post({ kind: 'batch', batch: taken, gaps }, [taken.bytes.buffer as ArrayBuffer]);
    gaps = [];
  };
  try {
    const pids = order.pids ?? listNumbers(order.proc, MAX_PIDS).numbers;
    post({ kind: 'listed', pids });
    for (const pid of pids) {
      const failed = readProcess(state, pid);
      if (failed !== undefined) gaps.push(failed);
      if (batch.used >= BATCH_BYTES || batch.processes >= BATCH_PROCESSES) flush();
    }
  } catch (error) {
    gaps.push(gapOf(error, `${order.proc}: the rest of it`));
  }
  if (batch.processes > 0) flush();
  post({ kind: 'end', gaps });
}

function post(message: WalkMessage, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}
