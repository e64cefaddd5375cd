// The node's collectors in order of volatility, and which of them each profile runs.
import type { Collector, Phase } from '../capture/index.ts';
import { binaries } from './collectors/binaries.ts';
import { clock } from './collectors/clock.ts';
import { cri } from './collectors/cri.ts';
import { disk } from './collectors/disk.ts';
import { docker } from './collectors/docker.ts';
import { firewall } from './collectors/firewall.ts';
import { flows } from './collectors/flows.ts';
import { host } from './collectors/host.ts';
import { kernel } from './collectors/kernel.ts';
import { layers } from './collectors/layers.ts';
import { logs } from './collectors/logs.ts';
import { memory } from './collectors/memory.ts';
import { packets } from './collectors/packets.ts';
import { persistence } from './collectors/persistence.ts';
import { processes } from './collectors/processes.ts';
import { ram } from './collectors/ram.ts';
import { sockets } from './collectors/sockets.ts';
import { timeline } from './collectors/timeline.ts';
import { tmpfs } from './collectors/tmpfs.ts';
import type { NodeContext } from './context.ts';

/** The volatile core: what is gone in a moment, had in seconds. */
const QUICK = [clock, processes, sockets, docker, cri, binaries, kernel, host];
/** What a responder reads next, and of suspects their memory, layers and packets. */
const STANDARD = [firewall, packets, flows, memory, layers, tmpfs, persistence, logs, timeline];
/** Hours of reading, on purpose. */
const FULL = [ram, disk];

const PHASES: readonly Phase[] = ['throughout', 'volatile', 'bulk'];

/** As they begin. */
export const nodeCollectors: readonly Collector<NodeContext>[] = [...QUICK, ...STANDARD, ...FULL].toSorted(
  (a, b) => PHASES.indexOf(a.phase) - PHASES.indexOf(b.phase) || a.volatility - b.volatility,
);

export const profiles: Readonly<Record<NodeContext['profile'], readonly string[]>> = {
  quick: namesOf(QUICK),
  standard: namesOf([...QUICK, ...STANDARD]),
  full: namesOf([...QUICK, ...STANDARD, ...FULL]),
};

function namesOf(collectors: readonly Collector<NodeContext>[]): readonly string[] {
  return collectors.map(({ name }) => name);
}
