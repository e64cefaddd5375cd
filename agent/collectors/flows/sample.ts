// One look at one namespace: its TCP and UDP sockets, or the counters of its interfaces.
import { closeSync } from 'node:fs';
import { chunksOf, unreadable } from '../../host/kernel-file.ts';
import { type Door, isUnreadable } from '../sockets/door.ts';
import { inetTable } from '../sockets/inet.ts';
import { type Interface, interfaceTable } from '../sockets/interfaces.ts';
import { type LineReader, lineSplitter } from '../sockets/lines.ts';
import type { Socket } from '../sockets/socket.ts';

/** Bytes of one table: 100,000 sockets. */
const TABLE_BYTES = 16 * 1024 * 1024;

const TABLES = [
  { file: 'tcp', table: 'tcp', type: 'ipv4' },
  { file: 'tcp6', table: 'tcp', type: 'ipv6' },
  { file: 'udp', table: 'udp', type: 'ipv4' },
  { file: 'udp6', table: 'udp', type: 'ipv6' },
] as const;

/** How a look ended: `gone` where no process is in the namespace any more; else why it is incomplete, if it is. */
export type Look =
  | { readonly kind: 'read'; readonly problems: readonly string[] }
  | { readonly kind: 'gone'; readonly why: string };

/** The kernel prints listening TCP sockets before all others: a connection on such a port came in. */
export async function readSockets(
  door: Door,
  take: (socket: Socket, direction: 'ingress' | 'egress' | undefined) => void,
): Promise<Look> {
  const problems: string[] = [];
  const listening = new Set<number>();
  let bad = 0;
  const sink = {
    socket(socket: Socket): void {
      const port = socket.local !== undefined && 'port' in socket.local ? socket.local.port : undefined;
      const isTcp = socket.transport === 'tcp' && port !== undefined;
      if (isTcp && socket.listening === true) listening.add(port);
      const directed = isTcp && socket.remote !== undefined;
      take(socket, directed ? (listening.has(port) ? 'ingress' : 'egress') : undefined);
    },
    bad(): void {
      bad++;
    },
  };
  for (const { file, table, type } of TABLES) {
    const problem = await readTable(door, file, inetTable(table, type, sink));
    if (problem?.reason === 'vanished') return { kind: 'gone', why: problem.why };
    if (problem !== undefined) problems.push(`${file}: ${problem.why}`);
  }
  if (bad > 0) problems.push('lines that could not be read');
  return { kind: 'read', problems };
}

/** Undefined where it could not be read. */
export async function readCounters(door: Door): Promise<readonly Interface[] | undefined> {
  const found = interfaceTable();
  const problem = await readTable(door, 'dev', {
    line: (text) => void found.dev(text),
    end() {},
  });
  return problem === undefined ? found.finish().interfaces : undefined;
}

async function readTable(
  door: Door,
  file: string,
  reader: LineReader,
): Promise<{ readonly reason: string; readonly why: string } | undefined> {
  const opened = door.open(file);
  if (isUnreadable(opened)) {
    // without IPv6 there are no such tables
    return opened.reason === 'absent' ? undefined : { reason: opened.reason, why: opened.detail };
  }
  const lines = lineSplitter(reader);
  try {
    const reading = chunksOf(opened.fd, TABLE_BYTES);
    let step = reading.next();
    for (; step.done !== true; step = reading.next()) {
      lines.push(step.value);
      await new Promise(setImmediate); // others have their turn
    }
    lines.end();
    return step.value.more ? { reason: 'truncated', why: `limit of ${TABLE_BYTES} bytes` } : undefined;
  } catch (error) {
    const { reason, detail } = unreadable(error);
    return { reason, why: detail };
  } finally {
    closeSync(opened.fd);
  }
}
