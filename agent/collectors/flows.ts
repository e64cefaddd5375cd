// What talks to whom right now, and what it consumes: sockets and containers' counters, once a second for some seconds.
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import { Channel, jsonLines } from '../../evidence/index.ts';
import type { KnownContainer } from '../containers.ts';
import type { NodeContext } from '../context.ts';
import { containerStats } from './flows/stats.ts';
import { MAX_WATCH_SECONDS, watchSeconds } from './flows/watch.ts';
import { watch } from './flows/watching.ts';
import { type Namespace, namespacesOf } from './sockets/namespaces.ts';

/** Namespaces that are sampled: four tables each, some milliseconds in all, every second. */
const MAX_NAMESPACES = 32;

/** Shorter than a sample apart, a flow may be missed: the packets are in the pcap where there is a suspect. */
export const flows = Object.freeze({
  name: 'flows',
  description:
    "TCP and UDP flows as they appear and vanish, of the suspects' network namespaces or of all; interfaces' and containers' consumption",
  phase: 'bulk',
  volatility: 45,
  artefacts: ['20-network/flows.jsonl', '30-container/stats.jsonl'],
  needs: [
    { kind: 'path', name: '/proc', without: 'flows' },
    { kind: 'path', name: '/sys/fs/cgroup', without: 'what containers consume' },
    { kind: 'capability', name: 'CAP_SYS_PTRACE', without: 'who holds a socket, and the namespaces of others' },
  ],
  limits: { bytes: 1024 ** 3, seconds: MAX_WATCH_SECONDS + 120 },
  collect,
} as const satisfies Collector<NodeContext>);

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  const { host, signal } = context;
  const seconds = watchSeconds(context, 'flows');
  if (seconds === undefined) return;
  const processes = await context.walk.index();
  const { netns, pids } = await context.focus();
  // names only: an engine that takes its time holds nothing up
  let known: readonly KnownContainer[] = [];
  void context.containers().then(({ containers }) => {
    known = containers;
  });
  const wanted = namespacesOf(host, processes).filter(({ inode }) => netns.size === 0 || netns.has(inode));
  const ordered = wanted.toSorted((a, b) => weight(b) - weight(a));
  for (const { inode } of ordered.slice(MAX_NAMESPACES)) {
    yield gap('truncated', `netns ${inode}`, `more than ${MAX_NAMESPACES} network namespaces: not watched`);
  }
  if (ordered.length === 0)
    yield gap('denied', 'network namespaces', 'no process shows its network namespace: run as root');
  const stats = containerStats(host, processes, () => known, pids);

  const rows = new Channel<Record<string, unknown>>(1024);
  const usage = new Channel<Record<string, unknown>>(1024);
  const end = (failure?: unknown): void => {
    rows.end(failure);
    usage.end(failure);
  };
  // who waits for room in a channel that is not read any more is woken, and finds the signal aborted
  const aborted = (): void => end(signal.reason);
  signal.addEventListener('abort', aborted, { once: true });
  const namespaces = ordered.slice(0, MAX_NAMESPACES);
  const watching = { seconds, namespaces, processes, suspects: pids, stats, flows: rows, usage };
  const done = watch(context, watching).then(
    () => end(),
    (error: unknown) => end(error),
  );
  const flowSource = '/proc/PID/net/{tcp,tcp6,udp,udp6,dev}, once a second';
  const statsSource = '/sys/fs/cgroup, once a second';
  yield { kind: 'artefact', path: '20-network/flows.jsonl', source: flowSource, content: jsonLines(rows) };
  yield { kind: 'artefact', path: '30-container/stats.jsonl', source: statsSource, content: jsonLines(usage) };
  await done;
  yield* stats.gaps();
  signal.removeEventListener('abort', aborted);
}

/** The host's first, then those where most processes live. */
function weight({ isHost, members }: Namespace): number {
  return isHost === true ? Number.POSITIVE_INFINITY : members.length;
}
