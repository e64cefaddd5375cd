// From a socket and its owners to a row with ECS names.
import type { Owner } from './owners.ts';
import type { Socket } from './socket.ts';

export interface Place {
  readonly netns: number;
  /** Whether it is the host's own; undefined where that could not be told. */
  readonly isHost: boolean | undefined;
}

const MOST_OWNERS = 64;

/**
 * A row of sockets.jsonl. `source` is this machine's end, `destination` the peer's. `process` and `container` are the
 * first owner's; `impound.owners` has all of them (the first 64, with their number in `ownerCount`).
 */
export function socketRow(
  socket: Socket,
  place: Place,
  owners: readonly Owner[],
  direction?: 'ingress' | 'egress',
): Record<string, unknown> {
  const first = owners[0]?.process;
  return {
    network: {
      transport: socket.transport,
      type: socket.type,
      iana_number: socket.iana === undefined ? undefined : String(socket.iana),
      direction,
    },
    source: socket.local,
    destination: socket.remote,
    ...(first === undefined
      ? {}
      : {
          process: { pid: first.pid, name: first.comm, executable: first.exe },
          ...(first.container?.containerId === undefined ? {} : { container: { id: first.container.containerId } }),
        }),
    ...(socket.uid === undefined ? {} : { user: { id: String(socket.uid) } }),
    impound: {
      state: socket.state,
      listening: socket.listening,
      inode: socket.inode,
      netns: place.netns,
      netnsIsHost: place.isHost,
      queue: socket.queue,
      ...socket.details,
      owners: owners.slice(0, MOST_OWNERS).map((owner) => ownerField(owner, place.netns)),
      ...(owners.length > MOST_OWNERS ? { ownerCount: owners.length } : {}),
    },
  };
}

/** `netns` is given where the owner lives in another namespace than its socket: it was moved, or was handed it. */
function ownerField({ process, fd }: Owner, netns: number): Record<string, unknown> {
  return {
    pid: process.pid,
    startTicks: process.startTicks,
    name: process.comm,
    fd,
    containerId: process.container?.containerId,
    ...(process.netns === undefined || process.netns === netns ? {} : { netns: process.netns }),
  };
}

/** Why a socket that is held stands in no table. */
export const NO_TABLE =
  'in no table that was read: not bound or connected, of a family without a table, or of a namespace no process is in';

/** A row for such a socket; its owner's namespace stands in for its own. */
export function unknownRow(
  inode: number,
  owners: readonly Owner[],
  isHost: boolean | undefined,
): Record<string, unknown> {
  const socket: Socket = {
    transport: 'unknown',
    state: 'unknown',
    inode,
    details: { family: 'unknown', why: NO_TABLE },
  };
  return socketRow(socket, { netns: owners[0]?.process.netns ?? 0, isHost }, owners);
}
