// One capture of this node: the registry's collectors on the engine, with one walk over /proc between them.
import { type CaptureOptions, type CollectorResult, GapLog, runCapture, type Selected } from '../capture/index.ts';
import type { Gap } from '../evidence/index.ts';
import type { FootprintItem, NodeContext, Suspect } from './context.ts';
import type { Host } from './host/host.ts';
import { type ProcessWalk, startWalk } from './host/walk.ts';

export interface NodeCaptureOptions extends Omit<CaptureOptions<NodeContext>, 'collectors' | 'skipped' | 'context'> {
  readonly host: Host;
  readonly profile: NodeContext['profile'];
  readonly selected: Selected<NodeContext>;
  readonly suspects: readonly Suspect[];
  readonly dockerSockets: readonly string[];
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
      detail: 'files are opened with O_NOATIME; listing a folder may still change its atime',
    },
  ];
  const ending = new AbortController();
  const walk = startWalk(options.host, {
    raw: options.selected.run.some((collector) => collector.name === 'processes'),
    signal: AbortSignal.any([options.signal, ending.signal]),
  });
  try {
    const results = await runCapture<NodeContext>({
      ...options,
      collectors: options.selected.run,
      skipped: options.selected.skipped,
      context: (base) => ({
        ...base,
        host: options.host,
        profile: options.profile,
        suspects: options.suspects,
        dockerSockets: options.dockerSockets,
        walk,
        footprint: (item) => footprint.push(item),
      }),
    });
    const declared = await declareWalkGaps(options, walk);
    const leftBehind = walk.leftBehind() || results.some(({ outcome }) => outcome === 'timeout');
    return { results: [...results, ...declared], footprint, leftBehind };
  } finally {
    ending.abort();
  }
}

/** What the walk over /proc could not have concerns every collector that used it: it is declared as its own. */
async function declareWalkGaps(options: NodeCaptureOptions, walk: ProcessWalk): Promise<readonly CollectorResult[]> {
  const gaps = new GapLog('walk', options.session);
  for (const gap of walk.gaps()) gaps.add(gap);
  for (const gap of await missingSuspects(options.suspects, walk)) gaps.add(gap);
  if (gaps.count === 0) return [];
  const end = { collector: 'walk', session: options.session, outcome: 'partial' as const, seconds: 0 };
  await options.custodian.ended({ ...end, gaps: gaps.forChain() });
  return [{ ...end, artefacts: 0, bytes: 0, gaps: gaps.groups() }];
}

/** A suspect that is not there is said: it may have ended, or have been mistyped. */
async function missingSuspects(suspects: readonly Suspect[], walk: ProcessWalk): Promise<readonly Gap[]> {
  if (suspects.length === 0) return [];
  const index = await walk.index();
  return suspects.flatMap((suspect): Gap[] => {
    switch (suspect.kind) {
      case 'pid':
        if (index.some(({ pid }) => pid === suspect.pid)) return [];
        return [
          {
            reason: 'vanished',
            name: `suspect pid:${suspect.pid}`,
            detail: 'no process has this PID: it has ended, or was mistyped',
          },
        ];
      case 'container':
        if (index.some(({ container }) => container?.containerId?.startsWith(suspect.id))) return [];
        return [
          {
            reason: 'absent',
            name: `suspect container:${suspect.id}`,
            detail: 'no process is in a container of this id: it has ended, or was mistyped',
          },
        ];
      default:
        return [
          {
            reason: 'unsupported',
            name: `suspect pod:${suspect.namespace}/${suspect.name}`,
            detail: 'pods are not known by name on a machine of its own',
          },
        ];
    }
  });
}
