// The row of one process in 40-memory/processes.jsonl: what is in its core, what is not, and why.
import type { ProcessSummary } from '../../host/walk.ts';
import type { CoreResult } from './content.ts';
import { type Layout, SEGMENT_FIELDS } from './shared.ts';

export interface CoreFacts {
  /** Bundle path below `data/`. */
  readonly path: string;
  readonly layout: Layout;
  readonly result: CoreResult;
  /** From before the listing until all was read; for how long its container had stood still by then, where we did that. */
  readonly frozen: { readonly throughout: boolean; readonly seconds?: number };
}

/** `begun.at` is when the listing of its memory began; without `core` there is none: a gap says why. */
export function memoryRow(
  { pid, comm, exe, startTicks, container }: ProcessSummary,
  begun: { readonly at: string; readonly frozen: boolean },
  core: CoreFacts | undefined,
): Record<string, unknown> {
  return {
    '@timestamp': begun.at,
    process: { pid, name: comm, executable: exe },
    ...(container?.containerId === undefined
      ? {}
      : { container: { id: container.containerId, runtime: container.runtime } }),
    impound: {
      startTicks,
      frozen: { atStart: begun.frozen, ...(core?.frozen ?? { throughout: false }) },
      ...(core === undefined ? {} : coreFields(core)),
    },
  };
}

function coreFields({ path, layout, result }: CoreFacts): Record<string, unknown> {
  const { counts, regions, segments, pageSize } = layout;
  return {
    core: path,
    readUntil: new Date().toISOString(),
    registers: false,
    pageSize,
    regions: regions.length,
    segments: segments.length / SEGMENT_FIELDS,
    bytes: {
      listed: counts.stored,
      stored: result.stored,
      untouched: counts.untouched,
      untouchedDeleted: counts.untouchedDeleted,
      device: counts.device,
      kernel: counts.kernel,
      limit: counts.left,
      unreadable: result.unreadable.bytes,
    },
    userfaultfd: regions.some(({ flags }) => / u[mwi] /.test(flags)) ? true : undefined,
    unreadable:
      result.unreadable.ranges.length === 0
        ? undefined
        : result.unreadable.ranges.map(({ start, bytes, why }) => ({ address: `0x${start.toString(16)}`, bytes, why })),
    truncated: result.truncated,
  };
}
