// One capture for a controller: begins a session, collects, and says how it ended.
import { randomBytes } from 'node:crypto';
import { type CollectorResult, type Selected, selectCollectors } from '../../capture/index.ts';
import {
  describeError,
  type GapGroup,
  ImpoundError,
  type Logger,
  parseRecipients,
  systemClock,
} from '../../evidence/index.ts';
import { type CaptureOrder, type EndRequest, MAX_END_BYTES } from '../../protocol/index.ts';
import type { NodeContext, NodeSettings } from '../context.ts';
import type { Host } from '../host/host.ts';
import { captureNode } from '../node-capture.ts';
import { nodeCollectors, profiles } from '../registry.ts';
import { RemoteCustodian } from './custodian.ts';
import type { Link } from './link.ts';

export interface RemoteCaptureOptions {
  readonly order: CaptureOrder;
  readonly link: Link;
  readonly host: Host;
  /** What this node's agent was started with; the order says the rest. */
  readonly settings: NodeSettings;
  /** URL of the controller, for the footprint. */
  readonly controller: string;
  /** PEM of the controller's authority. */
  readonly ca: string;
  readonly software: string;
  /** The agent itself is to end. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

export interface RemoteCaptureResult {
  /** A thread waits for good: the process has to end by force. */
  readonly leftBehind: boolean;
}

/** Throws what the controller said where it would hear nothing of it any more. */
export async function captureFor(options: RemoteCaptureOptions): Promise<RemoteCaptureResult> {
  const { order, link, signal, log, software } = options;
  const { uid } = order;
  const { selected, unknown } = select(order);
  const recipients = order.recipients.length === 0 ? [] : await parseRecipients(order.recipients);
  const collectors = [...selected.run, ...selected.skipped].map(({ name }) => name);
  const names = [...collectors, ...unknown];
  const nonce = randomBytes(16).toString('hex');
  const session = await link.begin(uid, { nonce, software, collectors: names });
  log.info('a session has begun', { capture: order.name, session, collectors: names.length });
  const stopped = new AbortController();
  const stop = (reason: string): void => {
    if (!stopped.signal.aborted) log.info('collecting is to end', { capture: order.name, reason });
    stopped.abort();
  };
  const custodian = new RemoteCustodian({
    link,
    uid,
    session,
    recipients,
    ca: options.ca,
    clock: systemClock,
    log,
    stop,
  });
  const deadline = setTimeout(() => stop('its time is over'), order.seconds * 1000);
  try {
    for (const name of unknown) await custodian.ended(unknownCollector(name, session));
    const { results, footprint, leftBehind } = await captureNode({
      host: options.host,
      settings: settingsOf(order, options.settings),
      selected,
      custodian,
      session,
      signal: AbortSignal.any([signal, stopped.signal]),
      log,
      clock: systemClock,
      observe: () => undefined,
    });
    await custodian.flush();
    const outcome = signal.aborted || stopped.signal.aborted ? 'aborted' : 'complete';
    await link.end(
      uid,
      ending({ session, outcome, gaps: gapsOf(results), footprint: [...reached(options.controller), ...footprint] }),
    );
    return { leftBehind };
  } catch (error) {
    const gone = error instanceof ImpoundError && error.code === 'capture-over';
    if (!gone) {
      const reason = describeError(error).slice(0, 1000);
      await link.end(uid, { session, outcome: 'failed', reason, gaps: [], footprint: [] }).catch(() => undefined); // it hears our silence then
    }
    throw error;
  } finally {
    clearTimeout(deadline);
    custodian.close();
  }
}

/** What an earlier session saw to its end is not collected again. Names that this version does not know are its gaps. */
function select(order: CaptureOrder): {
  readonly selected: Selected<NodeContext>;
  readonly unknown: readonly string[];
} {
  const known = new Set(nodeCollectors.map(({ name }) => name));
  const only = order.only.filter((name) => known.has(name));
  const unknown = order.only.filter((name) => !known.has(name));
  const profile = order.only.length > 0 ? [] : profiles[order.profile];
  const skip = order.skip.filter((name) => known.has(name));
  const { run, skipped } = selectCollectors(nodeCollectors, { profile, only, skip });
  const isLeft = ({ name }: { readonly name: string }): boolean => !order.done.includes(name);
  return { selected: { run: run.filter(isLeft), skipped: skipped.filter(isLeft) }, unknown };
}

function settingsOf(order: CaptureOrder, settings: NodeSettings): NodeSettings {
  const { profile, suspects, watchSeconds, freeze } = order;
  return { ...settings, profile, suspects, watch: watchSeconds, freeze };
}

/** What the node saw of this beside what was read. */
function reached(controller: string): EndRequest['footprint'] {
  return [
    { kind: 'connection', name: controller, detail: 'the controller' },
    { kind: 'connection', name: 'the store', detail: 'at the URLs that the controller granted' },
  ];
}

function unknownCollector(collector: string, session: number) {
  const detail = `this agent has no collector of that name`;
  const gap: GapGroup = { collector, session, reason: 'unsupported', detail, count: 1, names: [collector] };
  return { collector, session, outcome: 'absent' as const, seconds: 0, gaps: [gap] };
}

function gapsOf(results: readonly CollectorResult[]): EndRequest['gaps'] {
  return results.flatMap(({ gaps }) => gaps.map((group) => ({ ...group, names: [...group.names] })));
}

/** The chain has the gaps already; here are more of their names, as many as fit. */
function ending(request: EndRequest): EndRequest {
  let { gaps, footprint } = request;
  for (let most = 1000; Buffer.byteLength(JSON.stringify({ ...request, gaps, footprint })) > MAX_END_BYTES; most /= 2) {
    gaps = gaps.map((group) => ({ ...group, names: group.names.slice(0, most) }));
    footprint = footprint.slice(0, most * 10);
    if (most < 1) return { ...request, gaps: [], footprint: [] };
  }
  return { ...request, gaps, footprint };
}
