// One capture of this node: the registry's collectors on the engine, with one walk over /proc between them.
import { type CaptureOptions, type CollectorResult, GapLog, runCapture, type Selected } from '../capture/index.ts';
import type { Gap } from '../evidence/index.ts';
import type { FootprintItem, NodeContext, NodeSettings } from './context.ts';
import type { Host } from './host/host.ts';
import { startWalk } from './host/walk.ts';
import { shared } from './shared.ts';

export interface NodeCaptureOptions extends Omit<CaptureOptions<NodeContext>, 'collectors' | 'skipped' | 'context'> {
  readonly host: Host;
  readonly settings: NodeSettings;
  readonly selected: Selected<NodeContext>;
}

export interface NodeCaptureResult {
  readonly results: readonly CollectorResult[];
  readonly footprint: readonly FootprintItem[];
  /** A thread may be waiting for good for what the node would not answer: the process must end without it. */
  readonly leftBehind: boolean;
}

export async function captureNode(options: NodeCaptureOptions): Promise<NodeCaptureResult> {
  const footprint: FootprintItem[] = [
    { kind: 'process', name: `pid ${process.pid}`, detail: `${process.execPath} ${process.argv.slice(1).join(' ')}` },
    {
      kind: 'note',
      name: 'atime',
      detail:
        'files are opened with O_NOATIME, which needs CAP_FOWNER for those of others; listing a folder changes its atime, so that the timeline may show the time of this capture there',
    },
  ];
  const ending = new AbortController();
  const walk = startWalk(options.host, {
    raw: options.selected.run.some((collector) => collector.name === 'processes'),
    signal: AbortSignal.any([options.signal, ending.signal]),
  });
  const { host, settings, signal } = options;
  const footprinted = (item: FootprintItem): unknown => footprint.push(item);
  const common = shared({ host, settings, walk, signal, footprint: footprinted });
  let left = false;
  try {
    const results = await runCapture<NodeContext>({
      ...options,
      collectors: options.selected.run,
      skipped: options.selected.skipped,
      context: (base) => ({
        ...base,
        ...settings,
        host,
        walk,
        containers: common.containers,
        focus: common.focus,
        programs: common.programs,
        footprint: footprinted,
        leftBehind: () => {
          left = true;
        },
      }),
    });
    const declared = await declareShared(options, [...walk.gaps(), ...(await common.gaps())]);
    const leftBehind =
      left ||
      walk.leftBehind() ||
      results.some(
        ({ outcome, gaps }) =>
          outcome === 'timeout' || outcome === 'aborted' || gaps.some(({ reason }) => reason === 'timeout'),
      );
    return { results: [...results, ...declared], footprint, leftBehind };
  } finally {
    ending.abort();
  }
}

/** What could not be had of what collectors share concerns all that used it: it is declared as its own. */
async function declareShared(options: NodeCaptureOptions, found: readonly Gap[]): Promise<readonly CollectorResult[]> {
  const gaps = new GapLog('shared', options.session);
  for (const gap of found) gaps.add(gap);
  if (gaps.count === 0) return [];
  const end = { collector: 'shared', session: options.session, outcome: 'partial' as const, seconds: 0 };
  await options.custodian.ended({ ...end, gaps: gaps.forChain() });
  return [{ ...end, artefacts: 0, bytes: 0, gaps: gaps.groups() }];
}
