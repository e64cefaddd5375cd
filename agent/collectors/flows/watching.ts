// The rounds of watching: once a second every namespace's sockets and every container's counters.
import { setTimeout as sleep } from 'node:timers/promises';
import { gap } from '../../../capture/index.ts';
import type { Channel } from '../../../evidence/index.ts';
import type { NodeContext } from '../../context.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import { type Door, openDoor } from '../sockets/door.ts';
import type { Interface } from '../sockets/interfaces.ts';
import type { Namespace } from '../sockets/namespaces.ts';
import { ownerSearch } from './owners.ts';
import { flowRow, interfaceRow, type RowContext } from './rows.ts';
import { readCounters, readSockets } from './sample.ts';
import type { ContainerStats } from './stats.ts';
import { type Flow, flowTable } from './table.ts';

const ROUND_MILLISECONDS = 1000;

export interface Watching {
  readonly seconds: number;
  readonly namespaces: readonly Namespace[];
  readonly processes: readonly ProcessSummary[];
  /** Suspect processes; empty where there is no suspect. */
  readonly suspects: ReadonlySet<number>;
  readonly stats: ContainerStats;
  readonly flows: Channel<Record<string, unknown>>;
  readonly usage: Channel<Record<string, unknown>>;
}

/** A namespace while it is watched. */
interface Watched {
  readonly namespace: Namespace;
  readonly door: Door;
  before: readonly Interface[];
  begun: number;
  problems: Set<string>;
  gone: boolean;
}

/** A flow's row leaves when it is gone, or at the end. Rejects when the signal aborts. */
export async function watch(context: NodeContext, watching: Watching): Promise<void> {
  const { host, signal } = context;
  const { seconds, namespaces, processes, suspects, stats, flows, usage } = watching;
  const inodes = new Set(namespaces.map(({ inode }) => inode));
  const candidates = processes.filter(({ pid, netns }) =>
    suspects.size > 0 ? suspects.has(pid) : netns !== undefined && inodes.has(netns),
  );
  const owners = ownerSearch(host, processes, candidates, inodes);
  const table = flowTable(owners.known);
  const watched = namespaces.map((namespace) => begin(context, namespace));
  for (const one of watched) await readBefore(one);
  const begun = performance.now();
  const hostNetns = namespaces.find(({ isHost }) => isHost === true)?.inode;
  let rounds = 0;
  const write = async (list: readonly Flow[], atEnd: boolean): Promise<void> => {
    const rowContext: RowContext = { suspects, hostNetns, rounds };
    for (const flow of list) await flows.push(flowRow(flow, atEnd, rowContext));
  };
  for (let round = 0; ; round++) {
    signal.throwIfAborted();
    const read = await readRound(watched, table, round);
    const ownerless = table.ownerless(round);
    if (ownerless.length > 0) {
      const found = owners.find(new Set(ownerless.map(({ inode }) => inode)));
      for (const flow of ownerless) {
        flow.owners = found.get(flow.inode) ?? [];
        flow.searches++;
      }
    }
    rounds = round + 1;
    await write(table.takeGone(round, read), false);
    for (const row of await stats.sample()) await usage.push(row);
    const next = begun + (round + 1) * ROUND_MILLISECONDS;
    if (next > begun + seconds * 1000) break;
    await sleep(Math.max(0, next - performance.now()), undefined, { signal });
  }
  await write(table.takeAll(), true);
  for (const one of watched) await readAfter(one, flows);
  report(context, watched, table.left, rounds, seconds);
}

function begin({ host }: NodeContext, namespace: Namespace): Watched {
  return { namespace, door: openDoor(host, namespace), before: [], begun: 0, problems: new Set(), gone: false };
}

/** Namespaces that were read: what is not in them any more is gone. One that has ended has lost all its flows. */
async function readRound(
  watched: readonly Watched[],
  table: ReturnType<typeof flowTable>,
  round: number,
): Promise<ReadonlySet<number>> {
  const read = new Set<number>();
  for (const one of watched) {
    const { inode } = one.namespace;
    if (!one.gone) {
      const now = Date.now();
      const look = await readSockets(one.door, (socket, direction) => table.seen(inode, socket, round, now, direction));
      if (look.kind === 'gone') one.gone = true;
      else for (const problem of look.problems) one.problems.add(problem);
      if (look.kind === 'read' && look.problems.length > 0) continue;
    }
    read.add(inode);
  }
  return read;
}

async function readBefore(one: Watched): Promise<void> {
  one.begun = performance.now();
  one.before = (await readCounters(one.door)) ?? [];
}

async function readAfter(one: Watched, flows: Channel<Record<string, unknown>>): Promise<void> {
  if (one.gone) return;
  const after = await readCounters(one.door);
  const seconds = (performance.now() - one.begun) / 1000;
  for (const item of after ?? []) {
    const before = one.before.find(({ name }) => name === item.name);
    await flows.push(interfaceRow(one.namespace.inode, before, item, seconds));
  }
}

function report(
  context: NodeContext,
  watched: readonly Watched[],
  left: number,
  rounds: number,
  seconds: number,
): void {
  for (const { namespace, problems, gone } of watched) {
    const name = `netns ${namespace.inode}`;
    if (gone)
      context.gap(gap('vanished', name, 'its processes ended while it was watched; its flows until then are kept'));
    for (const problem of problems) context.gap(gap('failed', name, problem));
  }
  if (left > 0) context.gap(gap('truncated', `${left} sockets`, 'more flows at once than are held: not watched'));
  // two cores and ten thousand sockets: a round then takes longer than a second
  if (rounds < seconds) {
    const detail = 'the tables took longer to read than a second: fewer samples than seconds';
    context.gap(gap('truncated', `${Math.ceil(seconds) - rounds} of ${seconds} samples`, detail));
  }
}
