// The tables of packet (sniffers), netlink and SCTP sockets.
import type { Endpoint } from './address.ts';
import { columns, decimal, hexadecimal, type LineReader } from './lines.ts';
import type { Socket, SocketSink } from './socket.ts';

/** A table whose lines each stand alone below one header that begins with `header`. */
export function plainTable(header: string, parse: (text: string) => Socket | undefined, sink: SocketSink): LineReader {
  let first = true;
  return {
    line(text) {
      const skip = first && text.trimStart().startsWith(header);
      first = false;
      if (skip || text.trim() === '') return;
      const socket = parse(text);
      if (socket === undefined) sink.bad(text);
      else sink.socket(socket);
    },
    end() {},
  };
}

const PACKET_TYPES: Readonly<Record<number, string>> = { 2: 'dgram', 3: 'raw', 10: 'packet' };

/** /proc/net/packet: who reads whole frames. `protocol` is an EtherType (0x0003: all); interface 0 means every one. */
export function packetSocket(text: string): Socket | undefined {
  const [, , kind, ethertype, index, running, rmem, user, node] = columns(text);
  const type = decimal(kind);
  const protocol = hexadecimal(ethertype);
  const inode = decimal(node);
  const uid = decimal(user);
  if (type === undefined || protocol === undefined || inode === undefined || uid === undefined) return undefined;
  return {
    transport: 'packet',
    state: running === '1' ? 'running' : 'stopped',
    inode,
    uid,
    queue: { rx: decimal(rmem) ?? 0, tx: 0 },
    details: {
      type: PACKET_TYPES[type] ?? `${type}`,
      protocol: `0x${protocol.toString(16).padStart(4, '0')}`,
      interfaceIndex: decimal(index),
    },
  };
}

// include/uapi/linux/netlink.h
const FAMILIES: Readonly<Record<number, string>> = {
  0: 'route',
  2: 'usersock',
  3: 'firewall',
  4: 'sock_diag',
  5: 'nflog',
  6: 'xfrm',
  7: 'selinux',
  8: 'iscsi',
  9: 'audit',
  10: 'fib_lookup',
  11: 'connector',
  12: 'netfilter',
  13: 'ip6_fw',
  14: 'dnrtmsg',
  15: 'kobject_uevent',
  16: 'generic',
  18: 'scsitransport',
  19: 'ecryptfs',
  20: 'rdma',
  21: 'crypto',
  22: 'smc',
};

/** /proc/net/netlink. `portId` is mostly the PID that bound it; 0 is the kernel's own end. */
export function netlinkSocket(text: string): Socket | undefined {
  const [, family, port, groups, rmem, wmem, , , drops, node] = columns(text);
  const number = decimal(family);
  const portId = decimal(port);
  const inode = decimal(node);
  if (number === undefined || portId === undefined || inode === undefined || hexadecimal(groups) === undefined) {
    return undefined;
  }
  return {
    transport: 'netlink',
    state: portId === 0 ? 'kernel' : 'bound',
    inode,
    queue: { rx: decimal(rmem) ?? 0, tx: decimal(wmem) ?? 0 },
    details: {
      family: FAMILIES[number] ?? `${number}`,
      portId,
      groups: `0x${groups}`,
      drops: decimal(drops) || undefined,
    },
  };
}

/** /proc/net/sctp/eps: endpoints, each with all its local addresses. */
export function sctpEndpoint(text: string): Socket | undefined {
  const [, , , state, , lport, user, node, ...addresses] = columns(text);
  const port = decimal(lport);
  const uid = decimal(user);
  const inode = decimal(node);
  if (port === undefined || uid === undefined || inode === undefined) return undefined;
  const listening = state === '10';
  return sctp(addresses, port, undefined, {
    state: listening ? 'listen' : 'close',
    ...(listening ? { listening } : {}),
    inode,
    uid,
    details: { localAddresses: addresses.map(withoutStar) },
  });
}

// enum sctp_state in include/net/sctp/constants.h
const SCTP_STATES = [
  'closed',
  'cookie-wait',
  'cookie-echoed',
  'established',
  'shutdown-pending',
  'shutdown-sent',
  'shutdown-received',
  'shutdown-ack-sent',
];

/** /proc/net/sctp/assocs: associations, local addresses before "<->", the peer's after it. */
export function sctpAssociation(text: string): Socket | undefined {
  const [head = '', tail = ''] = text.split('<->');
  const [, , , , state, , , tx, rx, user, node, lport, rport, ...locals] = columns(head);
  const ports = [decimal(lport), decimal(rport)] as const;
  const uid = decimal(user);
  const inode = decimal(node);
  if (ports[0] === undefined || ports[1] === undefined || uid === undefined || inode === undefined) return undefined;
  const remotes = columns(tail.split('\t')[0] ?? '');
  const remote = remotes.map(withoutStar)[0];
  return sctp(locals, ports[0], remote === undefined ? undefined : { ip: remote, port: ports[1] }, {
    state: SCTP_STATES[decimal(state) ?? -1] ?? `${state}`,
    inode,
    uid,
    queue: { rx: decimal(rx) ?? 0, tx: decimal(tx) ?? 0 },
    details: { localAddresses: locals.map(withoutStar), remoteAddresses: remotes.map(withoutStar) },
  });
}

function sctp(
  addresses: readonly string[],
  port: number,
  remote: Endpoint | undefined,
  rest: Omit<Socket, 'transport'>,
): Socket {
  const ip = addresses.map(withoutStar)[0];
  return {
    transport: 'sctp',
    iana: 132,
    ...(ip === undefined
      ? {}
      : { type: ip.includes(':') ? ('ipv6' as const) : ('ipv4' as const), local: { ip, port } }),
    ...(remote === undefined ? {} : { remote }),
    ...rest,
  };
}

/** The primary address has a star before it. */
function withoutStar(address: string): string {
  return address.replace(/^\*/, '');
}
