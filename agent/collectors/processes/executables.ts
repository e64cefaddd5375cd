// SHA-256 of every distinct executable, read through /proc/PID/exe, so that a deleted one is hashed too.
import { gap } from '../../../capture/index.ts';
import { Channel, describeError, forEachBounded, sha256Stream } from '../../../evidence/index.ts';
import type { NodeContext } from '../../context.ts';
import { gapOf } from '../../host/errno.ts';
import { openMagicLink } from '../../host/open.ts';
import { streamFile } from '../../host/read.ts';
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

async function hashOne(
  context: NodeContext,
  runners: readonly ProcessSummary[],
): Promise<Record<string, unknown> | undefined> {
  const [first] = runners;
  if (first === undefined) return undefined;
  const name = `pid ${first.pid} exe`;
  try {
    const file = openMagicLink(`${context.host.proc}/${first.pid}`, 'exe');
    if (file === undefined) return undefined;
    const digest = sha256Stream();
    for await (const chunk of streamFile(file, MAX_BYTES)) await digest.update(chunk);
    const { stats } = file;
    const whole = stats.size <= BigInt(MAX_BYTES);
    if (!whole) context.gap(gap('truncated', name, `only the first ${MAX_BYTES} bytes of it were hashed`));
    return {
      file: {
        path: first.exe,
        inode: String(stats.ino),
        device: String(stats.dev),
        size: Number(stats.size),
        mode: (Number(stats.mode) & 0o7777).toString(8).padStart(4, '0'),
        uid: String(stats.uid),
        gid: String(stats.gid),
        mtime: stats.mtime.toISOString(),
        ctime: stats.ctime.toISOString(),
        ...(whole ? { hash: { sha256: await digest.hex() } } : {}),
      },
      impound: { pids: runners.map(({ pid }) => pid), containers: containersOf(runners) },
    };
  } catch (error) {
    context.gap(gapOf(error, name));
    return undefined;
  }
}

function containersOf(runners: readonly ProcessSummary[]): readonly string[] {
  return [...new Set(runners.flatMap(({ container }) => container?.containerId ?? []))];
}
