// Every socket of every network namespace, with who holds it, and how each namespace is set up.
import { type Collector, type GapReport, gap } from '../../capture/index.ts';
import { Channel, type Member, tarArchive } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import { namespacesOf, unreachableNamespaces } from './sockets/namespaces.ts';
import { ownersByInode } from './sockets/owners.ts';
import { readNamespaces } from './sockets/pass.ts';
import { setUpOf } from './sockets/setup.ts';

const SOURCE = '/proc/PID/net';

/**
 * Network namespaces are found by their processes, so that those no container engine knows are read too. The tables
 * are read through a process inside each: /proc/PID/net shows the namespace of that process, see namespaces(7).
 */
export const sockets = Object.freeze({
  name: 'sockets',
  description:
    'TCP, UDP, raw, packet, unix, netlink and SCTP sockets of every network namespace with the processes that hold them; interfaces, routes, neighbours',
  phase: 'volatile',
  volatility: 20,
  artefacts: [
    '20-network/sockets.jsonl',
    '20-network/netns.tar.zst',
    '20-network/interfaces.jsonl',
    '20-network/routes.jsonl',
    '20-network/neighbours.jsonl',
    '20-network/namespaces.jsonl',
  ],
  needs: [
    { kind: 'path', name: '/proc', without: 'nothing of this' },
    { kind: 'capability', name: 'CAP_SYS_PTRACE', without: 'who holds a socket, and the namespaces of others' },
    { kind: 'capability', name: 'CAP_NET_ADMIN', without: 'conntrack and the names of iptables tables' },
  ],
  limits: { bytes: 2 * 1024 ** 3, seconds: 60 },
  collect,
} as const satisfies Collector<NodeContext>);

async function* collect(context: NodeContext): ReturnType<Collector<NodeContext>['collect']> {
  const { host, signal } = context;
  const processes = await context.walk.index();
  const namespaces = namespacesOf(host, processes);
  const gaps: GapReport[] = [];
  const rows = new Channel<Buffer>(4);
  const raw = new Channel<Member>(1); // a member may be a whole piece
  const setUp = setUpOf(host);
  const output = { sockets: rows, raw, setUp, gaps };
  // who waits for room in a channel that is not read any more is woken, and finds the signal aborted
  signal.addEventListener('abort', () => ending(rows, raw, signal.reason), { once: true });
  const pass = readNamespaces(host, namespaces, ownersByInode(processes), output, signal).then(
    () => ending(rows, raw),
    (error: unknown) => ending(rows, raw, error),
  );
  yield { kind: 'artefact', path: '20-network/sockets.jsonl', source: SOURCE, content: rows };
  yield { kind: 'artefact', path: '20-network/netns.tar.zst', source: SOURCE, content: tarArchive(raw) };
  await pass;
  for (const name of ['interfaces', 'routes', 'neighbours'] as const) {
    yield {
      kind: 'artefact',
      path: `20-network/${name}.jsonl`,
      source: SOURCE,
      content: linesOf(setUp.tables[name].lines),
    };
  }
  const { unreachable, gaps: missed } = await unreachableNamespaces(
    host,
    processes,
    new Set(namespaces.map(({ inode }) => inode)),
  );
  for (const { inode, found } of unreachable)
    setUp.tables.namespaces.add({ impound: { netns: inode, processes: 0, found } });
  yield {
    kind: 'artefact',
    path: '20-network/namespaces.jsonl',
    source: '/proc',
    content: linesOf(setUp.tables.namespaces.lines),
  };
  yield* gaps;
  yield* missed;
  yield* setUp.gaps();
  if (namespaces.length === 0)
    yield gap('denied', 'network namespaces', 'no process shows its network namespace: run as root');
}

/** Ends both channels; a failure reaches whoever reads them, and so the custody chain. */
function ending(rows: Channel<Buffer>, raw: Channel<Member>, failure?: unknown): void {
  rows.end(failure);
  raw.end(failure);
}

async function* linesOf(lines: readonly Buffer[]): AsyncGenerator<Buffer> {
  for (let at = 0; at < lines.length; at += 512) yield Buffer.concat(lines.slice(at, at + 512));
}
