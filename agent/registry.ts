// The node's collectors in order of volatility, and which of them each profile runs.
import type { Collector } from '../capture/index.ts';
import { binaries } from './collectors/binaries.ts';
import { clock } from './collectors/clock.ts';
import { docker } from './collectors/docker.ts';
import { host } from './collectors/host.ts';
import { kernel } from './collectors/kernel.ts';
import { processes } from './collectors/processes.ts';
import { sockets } from './collectors/sockets.ts';
import type { NodeContext } from './context.ts';

export const nodeCollectors: readonly Collector<NodeContext>[] = [
  clock,
  processes,
  sockets,
  docker,
  binaries,
  kernel,
  host,
];

const VOLATILE_CORE = nodeCollectors.map((collector) => collector.name);

/** quick: the volatile core, in seconds. standard and full widen it as their collectors arrive. */
export const profiles: Readonly<Record<NodeContext['profile'], readonly string[]>> = {
  quick: VOLATILE_CORE,
  standard: VOLATILE_CORE,
  full: VOLATILE_CORE,
};
