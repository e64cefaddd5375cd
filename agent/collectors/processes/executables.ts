// SHA-256 of every distinct executable, read through /proc/PID/exe, so that a deleted one is hashed too.
import { closeSync } from 'node:fs';
import { type GapReport, gap } from '../../../capture/index.ts';
import { Channel, describeError, digestOf, forEachBounded } from '../../../evidence/index.ts';
import type { NodeContext } from '../../context.ts';
import { gapOf } from '../../host/errno.ts';
import { fileFields } from '../../host/file-fields.ts';
import { type OpenFile, openMagicLink } from '../../host/open.ts';
import { readKernelText, streamFile } from '../../host/read.ts';
import { parseStat } from '../../host/walk/stat.ts';
import type { ProcessSummary } from '../../host/walk.ts';

const MAX_BYTES = 2 * 1024 ** 3;
/** Files read at once: one core hashes while the other reads. */
const AT_ONCE = 2;

export interface Rows {
  readonly rows: AsyncIterable<Record<string, unknown>>;
  /** Resolves when all rows have been given, or nobody takes them any more. */
  readonly ended: Promise<void>;
}

/** A row for each distinct file, once `first` is done: size, times, digest, and the PIDs that run it. */
export function executableRows(context: NodeContext, first: Promise<void>): Rows {
  const rows = new Channel<Record<string, unknown>>(16);
  const ended = first
    .then(() => hashAll(context, rows))
    .then(
      () => rows.end(),
      (error: unknown) => rows.end(new Error(describeError(error))),
    );
  return { rows, ended };
}

async function hashAll(context: NodeContext, rows: Channel<Record<string, unknown>>): Promise<void> {
  const index = await context.walk.index();
  const running = index.filter(({ exe }) => exe !== undefined);
  const byFile = Map.groupBy(running, ({ exeFile, exe }) => exeFile ?? exe);
  await forEachBounded(byFile.values(), AT_ONCE, async (runners) => {
    if (context.signal.aborted) return;
    const row = await hashOne(context, runners);
    if (row !== undefined) await rows.push(row);
  });
}

/** Through the first of its runners that is still there: the others may run it on when one has ended. */
async function hashOne(
  context: NodeContext,
  runners: readonly ProcessSummary[],
): Promise<Record<string, unknown> | undefined> {
  let failure: GapReport | undefined;
  for (const runner of runners) {
    try {
      const file = openExecutable(context, runner);
      return file === undefined ? undefined : await rowOf(context, file, runners);
    } catch (error) {
      failure = gapOf(error, `pid ${runner.pid} exe`);
      if (failure.reason !== 'vanished') break;
    }
  }
  if (failure !== undefined) context.gap(failure);
  return undefined;
}

/** Throws ESRCH where the PID is another process's by now. */
function openExecutable({ host }: NodeContext, { pid, startTicks }: ProcessSummary): OpenFile | undefined {
  const folder = `${host.proc}/${pid}`;
  const file = openMagicLink(folder, 'exe');
  if (file === undefined || parseStat(readKernelText(`${folder}/stat`))?.startTicks === startTicks) return file;
  closeSync(file.fd);
  throw Object.assign(new Error('another process has this PID now'), { code: 'ESRCH' });
}

async function rowOf(
  context: NodeContext,
  file: OpenFile,
  runners: readonly ProcessSummary[],
): Promise<Record<string, unknown>> {
  const path = runners[0]?.exe;
  const { sha256 } = await digestOf(streamFile(file, MAX_BYTES));
  const { stats } = file;
  const whole = stats.size <= BigInt(MAX_BYTES);
  if (!whole) context.gap(gap('truncated', `${path}`, `only the first ${MAX_BYTES} bytes of it were read: no hash`));
  return {
    file: {
      path,
      ...fileFields(stats),
      device: String(stats.dev),
      ...(whole ? { hash: { sha256 } } : {}),
    },
    impound: { pids: runners.map(({ pid }) => pid), containers: containersOf(runners) },
  };
}

function containersOf(runners: readonly ProcessSummary[]): readonly string[] {
  return [...new Set(runners.flatMap(({ container }) => container?.containerId ?? []))];
}
