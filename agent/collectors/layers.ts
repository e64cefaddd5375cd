// What containers changed against their images: each upper directory as an archive, and a table of all the changes.
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import { Channel, describeError, jsonLines, tarArchive } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import { type LayerOptions, layerMembers } from './layers/members.ts';
import { executedIn } from './layers/processes.ts';
import { type LayerTarget, layerTargets } from './layers/targets.ts';
import { readsTrusted } from './layers/trusted.ts';

/** Content of one container's archive. */
const CONTAINER_BYTES = 8 * 1024 ** 3;
/** Content of all archives; tables and headers come on top. */
const TOTAL_BYTES = 32 * 1024 ** 3;

const UNTOLD =
  "they take CAP_SYS_ADMIN in the node's own user namespace: which folders are opaque, renamed or metacopies is not told, and what they hide counts as there";

export const layers: Collector<NodeContext> = Object.freeze({
  name: 'layers',
  description: 'Upper directories of containers with whiteouts and opaque marks; files added, changed, deleted, run',
  phase: 'bulk',
  volatility: 60,
  artefacts: ['30-container/layers/ID.tar.zst', '30-container/layers/drift.jsonl'],
  needs: [
    { kind: 'capability', name: 'CAP_DAC_READ_SEARCH', without: 'upper directories' },
    { kind: 'capability', name: 'CAP_SYS_ADMIN', without: 'trusted attributes: which folders are opaque' },
    { kind: 'program', name: 'getfattr', without: 'which folders are opaque, file capabilities' },
  ],
  limits: { bytes: TOTAL_BYTES + 2 * 1024 ** 3, seconds: 900 },
  collect,
} satisfies Collector<NodeContext>);

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  const targets = await layerTargets(context);
  if (targets.length === 0) {
    if (context.suspects.length === 0 && (await context.containers()).containers.length === 0)
      yield { kind: 'gap', reason: 'absent', name: 'containers' };
    return;
  }
  // whoever may not see these marks is told that there are none
  if (targets.some(({ container }) => container.layer.userxattr !== true) && !readsTrusted())
    yield gap('denied', 'trusted attributes of overlays', UNTOLD);
  const stopped = new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()));
  const rows = new Channel<Record<string, unknown>>(64);
  const source = 'upper directories of overlays against the lower ones';
  yield { kind: 'artefact', path: '30-container/layers/drift.jsonl', source, content: jsonLines(rows) };
  const total = { left: TOTAL_BYTES };
  const lowerMarks: LayerOptions['lowerMarks'] = new Map();
  try {
    // one after the other: they share the disk
    for (const target of targets) {
      if (context.signal.aborted) break;
      const done = Promise.withResolvers<void>();
      const content = archive(context, target, { total, lowerMarks, rows, done: done.resolve });
      yield { kind: 'artefact', path: target.path, source: target.container.layer.upper, content };
      await Promise.race([done.promise, stopped]);
    }
    rows.end();
  } catch (error) {
    rows.end(new Error(describeError(error)));
    throw error;
  } finally {
    rows.end();
  }
  await rows.drained;
}

interface Archiving extends Pick<LayerOptions, 'lowerMarks'> {
  readonly total: { left: number };
  readonly rows: Channel<Record<string, unknown>>;
  readonly done: () => void;
}

async function* archive(
  context: NodeContext,
  target: LayerTarget,
  { total, lowerMarks, rows, done }: Archiving,
): AsyncGenerator<Uint8Array> {
  const budget = { left: Math.min(CONTAINER_BYTES, total.left) };
  const given = budget.left;
  try {
    const executed = executedIn(target.container, await context.walk.index());
    yield* tarArchive(layerMembers(context, target, { budget, executed, lowerMarks, row: (row) => rows.push(row) }));
  } finally {
    total.left -= given - budget.left;
    done();
  }
}
