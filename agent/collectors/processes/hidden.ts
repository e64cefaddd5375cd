// Processes that a listing of /proc does not show: cross-view against cgroups, and every number tried.
import { Worker } from 'node:worker_threads';
import { type GapReport, gap } from '../../../capture/index.ts';
import { Channel, describeError, workerScript } from '../../../evidence/index.ts';
import type { NodeContext } from '../../context.ts';
import { startWalk } from '../../host/walk.ts';
import type { Rows } from './executables.ts';
import type { HiddenFindings, HiddenOrder } from './hidden-worker.ts';
import { processRow } from './row.ts';
import type { Surroundings } from './surroundings.ts';

/** In `quick`: one second and 65,536 numbers. Otherwise all of pid_max, which takes some 12 s of an idle core. */
const QUICK = { numbers: 65_536, milliseconds: 1000 };
const THOROUGH = { numbers: 4_194_304, milliseconds: 45_000 };

/**
 * Begins when `first` is done: the tables come before the search, which would take a core from them.
 * The first row says what was compared; then a row for each hidden process, as in processes.jsonl.
 */
export function hiddenRows(context: NodeContext, around: Surroundings, first: Promise<void>): Rows {
  const rows = new Channel<Record<string, unknown>>(16);
  const ended = first
    .then(() => findHidden(context, around, rows))
    .then(
      () => rows.end(),
      (error: unknown) => rows.end(new Error(describeError(error))),
    );
  return { rows, ended };
}

async function findHidden(
  context: NodeContext,
  around: Surroundings,
  rows: Channel<Record<string, unknown>>,
): Promise<void> {
  const { proc, sys } = context.host;
  const quick = context.profile === 'quick';
  const bounds = quick ? QUICK : THOROUGH;
  const findings = await search({ proc, sys, ...bounds }, context.signal);
  const { hidden, ...compared } = findings;
  if (compared.probed < compared.pidMax) {
    const left = `${compared.pidMax - compared.probed} of ${compared.pidMax} numbers were not tried: ${quick ? 'profile standard tries all' : 'the time was up'}`;
    context.gap(gap('truncated', 'hidden processes by number', left));
  }
  for (const missed of cgroupGaps(compared)) context.gap(missed);
  await rows.push({ impound: { compared: { ...compared, hidden: hidden.length } } });
  const seenBy = new Map(hidden.map(({ pid, seen }) => [pid, seen]));
  const walk = startWalk(context.host, { raw: true, signal: context.signal, pids: [...seenBy.keys()] });
  if (seenBy.size === 0) return;
  for await (const record of walk.records()) {
    const row = processRow(record, around);
    const impound = { ...(row.impound as object), hidden: true, seen: seenBy.get(record.summary.pid) };
    seenBy.delete(record.summary.pid);
    await rows.push({ ...row, impound });
  }
  // one whose files cannot even be read is still there
  for (const [pid, seen] of seenBy) await rows.push({ process: { pid }, impound: { hidden: true, seen } });
}

/** Where cgroups could not be compared, a process that hides is found by its number only. */
function cgroupGaps({ inCgroups, cgroupsLeft }: Omit<HiddenFindings, 'hidden'>): readonly GapReport[] {
  const name = 'hidden processes by cgroup';
  if (inCgroups === 0) return [gap('absent', name, 'no cgroup below /sys/fs/cgroup shows a process')];
  if (cgroupsLeft === 0) return [];
  return [gap('truncated', name, `${cgroupsLeft} cgroups, with all that are in them, were not looked into`)];
}

function search(order: HiddenOrder, signal: AbortSignal): Promise<HiddenFindings> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(workerScript('./hidden-worker', import.meta.url), { workerData: order });
    const stop = (): void => {
      void worker.terminate();
      reject(new Error('stopped before all was compared'));
    };
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    worker.on('message', resolve);
    worker.on('error', reject);
    worker.on('exit', () => {
      signal.removeEventListener('abort', stop);
      reject(new Error('its thread ended early'));
    });
  });
}
