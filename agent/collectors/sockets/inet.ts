// The tables of TCP, UDP, UDP-Lite, raw and ICMP sockets: /proc/net/{tcp,udp,udplite,raw,icmp}{,6}, see proc_pid_net(5).
import { type Endpoint, endpoint } from './address.ts';
import { columns, decimal, hexadecimal, type LineReader } from './lines.ts';
import type { Socket, SocketSink } from './socket.ts';

export type InetTable = 'tcp' | 'udp' | 'udplite' | 'raw' | 'icmp';

const TRANSPORTS = {
  tcp: { ipv4: { transport: 'tcp', iana: 6 }, ipv6: { transport: 'tcp', iana: 6 } },
  udp: { ipv4: { transport: 'udp', iana: 17 }, ipv6: { transport: 'udp', iana: 17 } },
  udplite: { ipv4: { transport: 'udplite', iana: 136 }, ipv6: { transport: 'udplite', iana: 136 } },
  raw: { ipv4: { transport: 'raw' }, ipv6: { transport: 'raw' } },
  icmp: { ipv4: { transport: 'icmp', iana: 1 }, ipv6: { transport: 'ipv6-icmp', iana: 58 } },
} as const;

// include/net/tcp_states.h; datagram sockets use only 1 and 7
const STATES: Readonly<Record<number, string>> = {
  1: 'established',
  2: 'syn-sent',
  3: 'syn-received',
  4: 'fin-wait-1',
  5: 'fin-wait-2',
  6: 'time-wait',
  7: 'close',
  8: 'close-wait',
  9: 'last-ack',
  10: 'listen',
  11: 'closing',
  12: 'new-syn-received',
  13: 'bound-inactive',
};
const TIMERS: Readonly<Record<number, string>> = { 1: 'retransmit', 2: 'keepalive', 3: 'time-wait', 4: 'probe' };

/** Reads one such table; the header is its first line. */
export function inetTable(table: InetTable, type: 'ipv4' | 'ipv6', sink: SocketSink): LineReader {
  let first = true;
  return {
    line(text) {
      const header = first && text.includes('local_address');
      first = false;
      if (header || text.trim() === '') return;
      const socket = inetSocket(table, type, text);
      if (socket === undefined) sink.bad(text);
      else sink.socket(socket);
    },
    end() {},
  };
}

/** One line, or undefined where it is not one. */
export function inetSocket(table: InetTable, type: 'ipv4' | 'ipv6', text: string): Socket | undefined {
  const fields = columns(text);
  const local = endpoint(fields[1]);
  const remote = endpoint(fields[2]);
  const state = hexadecimal(fields[3]);
  const [tx, rx] = pair(fields[4]);
  const [timer, when] = pair(fields[5]);
  const uid = decimal(fields[7]);
  const inode = decimal(fields[9]);
  if (!/^\d+:$/.test(fields[0] ?? '') || local === undefined || remote === undefined) return undefined;
  if (state === undefined || tx === undefined || rx === undefined || uid === undefined || inode === undefined) {
    return undefined;
  }
  const connected = remote.port !== 0 || !isUnspecified(remote.ip);
  const timing = timer === undefined ? undefined : TIMERS[timer];
  return {
    ...TRANSPORTS[table][type],
    type,
    ...ends(table, local, connected ? remote : undefined),
    state: stateName(table, state),
    ...(state === 10 && table === 'tcp' ? { listening: true } : {}),
    inode,
    uid,
    queue: { rx, tx },
    details: {
      ...(timing === undefined ? {} : { timer: { kind: timing, ticks: when } }),
      retransmits: hexadecimal(fields[6]) || undefined,
      ...(table === 'tcp' ? {} : { drops: decimal(fields[12]) || undefined }),
    },
  };
}

/** A raw socket has its protocol where others have the port. */
function ends(table: InetTable, local: Endpoint, remote: Endpoint | undefined): Partial<Socket> {
  if (table !== 'raw') return remote === undefined ? { local } : { local, remote };
  const bound = { local: { ip: local.ip }, iana: local.port };
  return remote === undefined ? bound : { ...bound, remote: { ip: remote.ip } };
}

function stateName(table: InetTable, state: number): string {
  if (table !== 'tcp' && state === 7) return 'unconnected';
  return STATES[state] ?? `0x${state.toString(16)}`;
}

function isUnspecified(ip: string): boolean {
  return ip === '0.0.0.0' || ip === '::' || ip === '::ffff:0.0.0.0';
}

function pair(text: string | undefined): [number | undefined, number | undefined] {
  const [left, right] = text?.split(':') ?? [];
  return [hexadecimal(left), hexadecimal(right)];
}
