// The flows seen so far: one for each socket or 5-tuple, with when it appeared, what it went through, when it was gone.
import type { Socket } from '../sockets/socket.ts';
import type { FlowOwner } from './owners.ts';

/** Flows that are held at once; a busy proxy has some ten thousand. */
const MAX_FLOWS = 200_000;
/** A socket may be the kernel's own, or a process's that we may not look into. */
const MAX_SEARCHES = 5;

export interface Flow {
  readonly netns: number;
  readonly socket: Socket;
  /** Milliseconds since the epoch. */
  readonly firstSeen: number;
  lastSeen: number;
  lastRound: number;
  samples: number;
  /** It stood there when watching began. */
  readonly atStart: boolean;
  readonly states: string[];
  inode: number;
  rxMax: number;
  txMax: number;
  retransmitsMax: number;
  readonly direction: 'ingress' | 'egress' | undefined;
  owners: readonly FlowOwner[];
  /** How often its holder was looked for in vain. */
  searches: number;
}

export interface FlowTable {
  /** A socket as a sample shows it. */
  seen(netns: number, socket: Socket, round: number, now: number, direction: Flow['direction']): void;
  /** Flows of the round that nobody is known to hold, and that can have a holder. */
  ownerless(round: number): readonly Flow[];
  /** Takes out what has not been seen in this round in namespaces that were read. */
  takeGone(round: number, read: ReadonlySet<number>): readonly Flow[];
  takeAll(): readonly Flow[];
  /** Sockets that had no room. */
  readonly left: number;
}

export function flowTable(ownersOf: (inode: number) => readonly FlowOwner[]): FlowTable {
  /** By 5-tuple; several where sockets share one (SO_REUSEPORT). */
  const byTuple = new Map<string, Flow[]>();
  let size = 0;
  let left = 0;
  return {
    seen(netns, socket, round, now, direction) {
      const key = tupleOf(netns, socket);
      const sharing = byTuple.get(key);
      const known = sharing?.find(({ inode }) => inode === socket.inode) ?? closing(sharing, socket, round);
      if (known !== undefined) {
        update(known, socket, round, now);
      } else if (size >= MAX_FLOWS) {
        left++;
      } else {
        const flow = newFlow(netns, socket, round, now, direction, ownersOf(socket.inode));
        if (sharing === undefined) byTuple.set(key, [flow]);
        else sharing.push(flow);
        size++;
      }
    },
    ownerless: (round) =>
      [...byTuple.values()]
        .flat()
        .filter(
          ({ lastRound, inode, owners, searches }) =>
            lastRound === round && inode !== 0 && owners.length === 0 && searches < MAX_SEARCHES,
        ),
    takeGone(round, read) {
      const gone: Flow[] = [];
      for (const [key, sharing] of byTuple) {
        const kept = sharing.filter((flow) => flow.lastRound === round || !read.has(flow.netns));
        if (kept.length === sharing.length) continue;
        gone.push(...sharing.filter((flow) => !kept.includes(flow)));
        if (kept.length === 0) byTuple.delete(key);
        else byTuple.set(key, kept);
      }
      size -= gone.length;
      return gone;
    },
    takeAll() {
      const all = [...byTuple.values()].flat();
      byTuple.clear();
      size = 0;
      return all;
    },
    get left() {
      return left;
    },
  };
}

/** A socket loses its inode when its process lets go of it (TIME_WAIT), and gets one when it is accepted. */
function closing(sharing: readonly Flow[] | undefined, socket: Socket, round: number): Flow | undefined {
  return sharing?.find((flow) => flow.lastRound !== round && (socket.inode === 0 || flow.inode === 0));
}

function newFlow(
  netns: number,
  socket: Socket,
  round: number,
  now: number,
  direction: Flow['direction'],
  owners: readonly FlowOwner[],
): Flow {
  const flow: Flow = {
    netns,
    socket,
    firstSeen: now,
    lastSeen: now,
    lastRound: round,
    samples: 0,
    atStart: round === 0,
    states: [],
    inode: 0,
    rxMax: 0,
    txMax: 0,
    retransmitsMax: 0,
    direction,
    owners,
    searches: 0,
  };
  update(flow, socket, round, now);
  return flow;
}

function update(flow: Flow, socket: Socket, round: number, now: number): void {
  flow.lastSeen = now;
  flow.lastRound = round;
  flow.samples++;
  if (flow.states.at(-1) !== socket.state) flow.states.push(socket.state);
  if (socket.inode !== 0) flow.inode = socket.inode;
  flow.rxMax = Math.max(flow.rxMax, socket.queue?.rx ?? 0);
  flow.txMax = Math.max(flow.txMax, socket.queue?.tx ?? 0);
  const retransmits = socket.details?.retransmits;
  if (typeof retransmits === 'number') flow.retransmitsMax = Math.max(flow.retransmitsMax, retransmits);
}

function tupleOf(netns: number, { transport, local, remote }: Socket): string {
  const end = (one: Socket['local']): string => (one === undefined ? '' : `${one.ip} ${'port' in one ? one.port : ''}`);
  return `${netns} ${transport} ${end(local)} ${end(remote)}`;
}
