// What the suspects say right now: the packets of their network namespaces, for some seconds.
import { closeSync } from 'node:fs';
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import type { NodeContext } from '../context.ts';
import { kernelModules } from './firewall/modules.ts';
import { namespacePlaces, pinPlace } from './firewall/places.ts';
import { MAX_WATCH_SECONDS, watchSeconds } from './flows/watch.ts';
import { listen } from './packets/capture.ts';

/** Suspects' namespaces that are listened to, four at once. */
const MAX_NAMESPACES = 8;
const PCAP_BYTES = 256 * 1024 * 1024;

/** Only where a responder pointed at something: everybody's packets are no part of a capture. */
export const packets = Object.freeze({
  name: 'packets',
  description: "Packets of the suspects' network namespaces, for the seconds of --watch",
  phase: 'bulk',
  volatility: 44,
  artefacts: ['20-network/NETNS-INODE.pcap'],
  needs: [
    { kind: 'capability', name: 'CAP_NET_RAW', without: 'packets' },
    { kind: 'capability', name: 'CAP_SYS_ADMIN', without: 'packets of namespaces but our own' },
    { kind: 'program', name: 'tcpdump', without: 'packets' },
    { kind: 'program', name: 'nsenter', without: 'packets of namespaces but our own' },
  ],
  limits: { bytes: MAX_NAMESPACES * PCAP_BYTES, seconds: 2 * MAX_WATCH_SECONDS + 120 },
  collect,
} as const satisfies Collector<NodeContext>);

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  if (context.suspects.length === 0) return;
  const seconds = watchSeconds(context, 'packets');
  if (seconds === undefined) return;
  const { netns } = await context.focus();
  if (netns.size === 0) return;
  const { places } = await namespacePlaces(context.host, await context.walk.index(), netns, netns.size);
  if (kernelModules(context.host)('af_packet') !== 'there') {
    context.footprint({ kind: 'note', name: 'module af_packet', detail: 'tcpdump loads it where it is not loaded' });
  }
  for (const [number, place] of places.filter(({ inode }) => netns.has(inode)).entries()) {
    const path = `20-network/${place.inode}.pcap`;
    if (number >= MAX_NAMESPACES) {
      yield gap('truncated', path, `more than ${MAX_NAMESPACES} network namespaces of suspects: not listened to`);
      continue;
    }
    const pinned = pinPlace(place, path);
    if (typeof pinned !== 'number') {
      yield pinned;
      continue;
    }
    try {
      const way = { path: `/proc/self/fd/${pinned}`, inode: place.inode };
      const capture = await listen(context, path, way, seconds, PCAP_BYTES);
      if ('kind' in capture) yield capture;
      else yield { kind: 'artefact', path, source: `tcpdump -i any in net:[${place.inode}]`, ...capture };
    } finally {
      closeSync(pinned);
    }
  }
}
