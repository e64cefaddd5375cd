// Rows of flows.jsonl: a flow, and an interface with what went through it meanwhile.
import type { Interface } from '../sockets/interfaces.ts';
import type { Flow } from './table.ts';

export interface RowContext {
  readonly suspects: ReadonlySet<number>;
  readonly hostNetns: number | undefined;
  /** Samples taken when the row is written. */
  readonly rounds: number;
}

/** `event.start` and `event.end` are the first and last sample that showed it; `atEnd`: it was still there. */
export function flowRow(
  flow: Flow,
  atEnd: boolean,
  { suspects, hostNetns, rounds }: RowContext,
): Record<string, unknown> {
  const { socket, owners, netns } = flow;
  const first = owners.find(({ pid }) => suspects.has(pid)) ?? owners[0];
  return {
    event: {
      start: new Date(flow.firstSeen).toISOString(),
      end: new Date(flow.lastSeen).toISOString(),
    },
    network: {
      transport: socket.transport,
      type: socket.type,
      iana_number: socket.iana === undefined ? undefined : String(socket.iana),
      direction: flow.direction,
    },
    source: socket.local,
    destination: socket.remote,
    ...(first === undefined
      ? {}
      : {
          process: { pid: first.pid, name: first.name, executable: first.executable },
          ...(first.containerId === undefined ? {} : { container: { id: first.containerId } }),
        }),
    ...(socket.uid === undefined ? {} : { user: { id: String(socket.uid) } }),
    impound: {
      kind: 'flow',
      netns,
      netnsIsHost: hostNetns === undefined ? undefined : netns === hostNetns,
      inode: flow.inode,
      states: flow.states,
      samples: flow.samples,
      rounds,
      atStart: flow.atStart,
      atEnd,
      suspect: suspects.size === 0 ? undefined : owners.some(({ pid }) => suspects.has(pid)),
      queueMax: { rx: flow.rxMax, tx: flow.txMax },
      retransmitsMax: flow.retransmitsMax || undefined,
      owners,
    },
  };
}

/** What went through since watching began; `seconds` is the time between the two readings. */
export function interfaceRow(
  netns: number,
  before: Interface | undefined,
  after: Interface,
  seconds: number,
): Record<string, unknown> {
  const delta = (side: 'rx' | 'tx'): Record<string, number> | undefined => {
    const [then, now] = [before?.[side], after[side]];
    if (then === undefined || now === undefined) return undefined;
    const bytes = now.bytes - then.bytes;
    const packets = now.packets - then.packets;
    const rate = (value: number): number => Math.round(value / seconds);
    return { bytes, packets, bytesPerSecond: rate(bytes), packetsPerSecond: rate(packets) };
  };
  return {
    observer: { ingress: { interface: { name: after.name } } },
    impound: {
      kind: 'interface',
      netns,
      seconds: Math.round(seconds * 1000) / 1000,
      rx: delta('rx'),
      tx: delta('tx'),
      rxTotal: after.rx,
      txTotal: after.tx,
    },
  };
}
