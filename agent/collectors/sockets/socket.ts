// A socket as one of the kernel's tables shows it, before its owners are known.
import type { Endpoint } from './address.ts';

export interface Socket {
  /** ECS network.transport where it has the name; "unix", "packet", "netlink", "raw" beside. */
  readonly transport: string;
  readonly type?: 'ipv4' | 'ipv6';
  /** IANA protocol number, where it is known. */
  readonly iana?: number;
  readonly local?: Endpoint | { readonly ip: string };
  readonly remote?: Endpoint | { readonly ip: string };
  readonly state: string;
  readonly listening?: boolean;
  /** 0 for what no process can hold any more (TIME_WAIT) or not yet (a request before accept(2)). */
  readonly inode: number;
  readonly uid?: number;
  /** Bytes waiting; for a listening TCP socket rx is the length of its accept queue. */
  readonly queue?: { readonly rx: number; readonly tx: number };
  /** What only this kind of socket has. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Where a parser hands its sockets to, and the lines it could not read. */
export interface SocketSink {
  socket(socket: Socket): void;
  bad(line: string): void;
}
