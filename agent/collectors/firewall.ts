// How every network namespace filters, translates and routes packets: what takes programs, since /proc does not tell.
import { closeSync } from 'node:fs';
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import { Channel, forEachBounded, type Member, tarArchive } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import { kernelModules, type ModuleState } from './firewall/modules.ts';
import { askNetfilter } from './firewall/netfilter.ts';
import { type Output, rowSink } from './firewall/output.ts';
import { type NamespacePlace, namespacePlaces, pinPlace } from './firewall/places.ts';
import { askRouting } from './firewall/routing.ts';
import { openDoor } from './sockets/door.ts';

/** Namespaces in all: a node runs 110 pods by default, 250 where it is pushed. */
const MAX_NAMESPACES = 512;
/** Namespaces that are asked at once, each by one program at a time. */
const AT_ONCE = 4;
const SOURCE = 'nft, iptables-save, ipset, conntrack, ip, tc and bpftool in each network namespace; /proc/PID/net';

export const firewall = Object.freeze({
  name: 'firewall',
  description:
    'Per network namespace: nftables, iptables, ipset, tracked connections; routing rules and all tables, neighbours, links with XDP, traffic control',
  phase: 'volatile',
  volatility: 25,
  artefacts: ['20-network/firewall.jsonl', '20-network/firewall.tar.zst'],
  needs: [
    { kind: 'capability', name: 'CAP_SYS_ADMIN', without: 'namespaces but our own' },
    { kind: 'capability', name: 'CAP_NET_ADMIN', without: 'all that is asked by netlink' },
    { kind: 'program', name: 'nsenter', without: 'namespaces but our own' },
    { kind: 'program', name: 'nft', without: 'nftables rules, those of iptables-nft included' },
    {
      kind: 'program',
      name: 'iptables-nft-save',
      without: 'matches and comments of iptables-nft that nft cannot tell',
    },
    { kind: 'program', name: 'iptables-legacy-save', without: 'iptables rules of the legacy kind' },
    { kind: 'program', name: 'ipset', without: 'the sets that iptables rules refer to' },
    { kind: 'program', name: 'conntrack', without: 'tracked connections where /proc/net/nf_conntrack is not there' },
    { kind: 'program', name: 'ip', without: 'routing rules, all tables but main, IPv6 neighbours, XDP' },
    { kind: 'program', name: 'tc', without: 'filters and programs attached to links' },
    { kind: 'program', name: 'bpftool', without: 'eBPF programs attached to links that tc does not show' },
  ],
  limits: { bytes: 2 * 1024 ** 3, seconds: 180 },
  collect,
} as const satisfies Collector<NodeContext>);

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  const { host, signal } = context;
  const rows = new Channel<Buffer>(4);
  const raw = new Channel<Member>(1);
  const output: Output = { rows, raw, missing: new Set(), noted: new Set(), gap: (found) => context.gap(found) };
  const end = (failure?: unknown): void => {
    rows.end(failure);
    raw.end(failure);
  };
  // who waits for room in a channel that is not read any more is woken, and finds the signal aborted
  const aborted = (): void => end(signal.reason);
  signal.addEventListener('abort', aborted, { once: true });
  const processes = await context.walk.index();
  const { netns } = await context.focus();
  const { places, gaps } = await namespacePlaces(host, processes, netns, MAX_NAMESPACES);
  yield* gaps;
  if (places.length === 0)
    yield gap('denied', 'network namespaces', 'no process shows its network namespace: run as root');
  const modules = kernelModules(host);
  const asking = forEachBounded(places, AT_ONCE, (place) => askPlace(context, place, output, modules)).then(
    () => end(),
    (error: unknown) => end(error),
  );
  yield { kind: 'artefact', path: '20-network/firewall.jsonl', source: SOURCE, content: rows };
  yield { kind: 'artefact', path: '20-network/firewall.tar.zst', source: SOURCE, content: tarArchive(raw) };
  await asking;
  signal.removeEventListener('abort', aborted);
}

async function askPlace(
  context: NodeContext,
  place: NamespacePlace,
  output: Output,
  modules: (name: string) => ModuleState,
): Promise<void> {
  context.signal.throwIfAborted();
  const { inode, isHost, members } = place;
  const pinned = pinPlace(place, `netns ${inode}`);
  if (typeof pinned !== 'number') return context.gap(pinned);
  try {
    const rows = rowSink(output, { netns: inode, netnsIsHost: isHost });
    const asking = { context, output, rows, inode, path: `/proc/self/fd/${pinned}` };
    const door = members.length === 0 ? undefined : openDoor(context.host, place);
    await askNetfilter(asking, door, modules);
    await askRouting(asking, door);
  } finally {
    closeSync(pinned);
  }
}
