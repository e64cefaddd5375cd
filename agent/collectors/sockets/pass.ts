// The one pass over the namespaces' /proc/PID/net: raw bytes go to the archive, rows to the table, in pieces.
import { closeSync } from 'node:fs';
import { type GapReport, gap } from '../../../capture/index.ts';
import { type Channel, jsonLine, type Member } from '../../../evidence/index.ts';
import type { Host } from '../../host/host.ts';
import { chunksOf, unreadable } from '../../host/kernel-file.ts';
import { linkOf } from './descriptors.ts';
import { type Door, isUnreadable, openDoor } from './door.ts';
import { EXPECTED, FILES, LEFT_ALONE } from './files.ts';
import { interfaceTable } from './interfaces.ts';
import { lineSplitter } from './lines.ts';
import type { Namespace } from './namespaces.ts';
import type { Owner } from './owners.ts';
import { parserFor, type Sinks } from './parsers.ts';
import { socketRow, unknownRow } from './rows.ts';
import type { SetUp } from './setup.ts';
import type { Socket } from './socket.ts';

export interface PassOutput {
  readonly sockets: Channel<Buffer>;
  readonly raw: Channel<Member>;
  readonly setUp: SetUp;
  readonly gaps: GapReport[];
}

export interface PassLimits {
  /** Bytes of one file that are read. */
  readonly file: number;
  /** Bytes of one member of the archive: what is longer goes on in NAME.2, NAME.3. */
  readonly piece: number;
}

export const PASS_LIMITS: PassLimits = { file: 32 * 1024 * 1024, piece: 8 * 1024 * 1024 };

/** Reads every namespace once, then gives a row to each held socket that no table had. */
export async function readNamespaces(
  host: Host,
  namespaces: readonly Namespace[],
  owners: ReadonlyMap<number, readonly Owner[]>,
  output: PassOutput,
  signal: AbortSignal,
  limits: PassLimits = PASS_LIMITS,
): Promise<void> {
  const unseen = new Set(owners.keys());
  for (const namespace of namespaces) {
    await readNamespace(host, namespace, owners, unseen, output, signal, limits);
  }
  let rows: Buffer[] = [];
  for (const inode of unseen) {
    signal.throwIfAborted();
    const holding = (owners.get(inode) ?? []).filter((owner) => stillHolds(host, owner, inode));
    if (holding.length === 0) {
      output.gaps.push(
        gap('vanished', `socket ${inode}`, 'held when processes were listed, closed before the tables were read'),
      );
      continue;
    }
    const home = namespaces.find((namespace) => namespace.inode === holding[0]?.process.netns);
    rows.push(jsonLine(unknownRow(inode, holding, home?.isHost)));
    if (rows.length >= 256) {
      await output.sockets.push(Buffer.concat(rows));
      rows = [];
    }
  }
  if (rows.length > 0) await output.sockets.push(Buffer.concat(rows));
}

async function readNamespace(
  host: Host,
  namespace: Namespace,
  owners: ReadonlyMap<number, readonly Owner[]>,
  unseen: Set<number>,
  output: PassOutput,
  signal: AbortSignal,
  limits: PassLimits,
): Promise<void> {
  const door = openDoor(host, namespace);
  const listing = door.list();
  if (isUnreadable(listing)) {
    output.gaps.push(gap(listing.reason, `netns ${namespace.inode}`, `no process shows its tables: ${listing.detail}`));
    return;
  }
  reportUnread(namespace, listing, output.gaps);
  const rows: Buffer[] = [];
  const ports = { tcp: new Set<number>() };
  const interfaces = interfaceTable();
  let bad = 0;
  const sinks: Sinks = {
    interfaces,
    socket(socket) {
      unseen.delete(socket.inode);
      rows.push(
        jsonLine(socketRow(socket, placeOf(namespace), owners.get(socket.inode) ?? [], directionOf(socket, ports.tcp))),
      );
    },
    bad() {
      bad++;
    },
    route(route) {
      interfaces.route(route);
      output.setUp.route(route, namespace);
    },
    neighbour: (neighbour) => output.setUp.neighbour(neighbour, namespace),
  };
  const flush = async (): Promise<void> => {
    if (rows.length > 0) await output.sockets.push(Buffer.concat(rows.splice(0)));
  };
  for (const file of FILES) {
    signal.throwIfAborted();
    if (!listing.has(file.split('/')[0] ?? file)) continue;
    bad = 0;
    await readFile(door, file, sinks, flush, namespace, output, limits);
    if (bad > 0) {
      output.gaps.push(
        gap(
          'failed',
          `netns ${namespace.inode}: ${file}`,
          `${bad} lines could not be read as rows: the raw file is in netns.tar.zst`,
        ),
      );
    }
  }
  await flush();
  output.setUp.namespace(namespace, interfaces.finish(), door.pid());
}

/** One file: its bytes to the archive and through its parser, a chunk at a time. */
async function readFile(
  door: Door,
  file: string,
  sinks: Sinks,
  flush: () => Promise<void>,
  namespace: Namespace,
  output: PassOutput,
  limits: PassLimits,
): Promise<void> {
  const name = `netns ${namespace.inode}: ${file}`;
  const opened = door.open(file);
  if (opened.kind === 'unreadable') {
    // a file that is not there is no loss but for the expected ones, which reportUnread has named
    if (opened.reason !== 'absent') output.gaps.push(gap(opened.reason, name, opened.detail));
    return;
  }
  const parser = parserFor(file, sinks);
  const lines = parser === undefined ? undefined : lineSplitter(parser);
  let piece: Buffer[] = [];
  let size = 0;
  let number = 1;
  const ship = async (truncated?: string): Promise<void> => {
    const suffix = number === 1 ? '' : `.${number}`;
    await output.raw.push({
      name: `${namespace.inode}/${file}${suffix}`,
      mode: opened.stats.mode & 0o7777,
      mtime: BigInt(Math.trunc(opened.stats.mtimeMs)) * 1_000_000n,
      content: piece.length === 1 && piece[0] !== undefined ? piece[0] : Buffer.concat(piece),
      ...(truncated === undefined ? {} : { truncated }),
    });
    number++;
    piece = [];
    size = 0;
  };
  let truncated: string | undefined;
  try {
    const reading = chunksOf(opened.fd, limits.file);
    let step = reading.next();
    for (; step.done !== true; step = reading.next()) {
      if (size > 0 && size + step.value.length > limits.piece) await ship();
      piece.push(step.value);
      size += step.value.length;
      lines?.push(step.value);
      await flush();
    }
    if (step.value.more) {
      truncated = `limit of ${limits.file} bytes a file; how much is left is not known before its end`;
      output.gaps.push(gap('truncated', name, truncated));
    }
  } catch (error) {
    const failure = unreadable(error);
    truncated = failure.detail;
    output.gaps.push(gap(failure.reason, name, failure.detail));
  } finally {
    closeSync(opened.fd);
  }
  lines?.end();
  await flush();
  await ship(truncated);
}

/** What is expected and not there, and what is there and not known. */
function reportUnread(namespace: Namespace, names: ReadonlySet<string>, gaps: GapReport[]): void {
  for (const name of EXPECTED) {
    if (!names.has(name))
      gaps.push(gap('absent', `netns ${namespace.inode}: ${name}`, 'this kernel has no such table'));
  }
  const known: ReadonlySet<string> = new Set(FILES);
  for (const name of names) {
    if (known.has(name) || LEFT_ALONE.has(name)) continue;
    gaps.push(
      gap('skipped', `netns ${namespace.inode}: ${name}`, 'not one of the files that are known to be safe to read'),
    );
  }
}

function placeOf(namespace: Namespace): { netns: number; isHost: boolean | undefined } {
  return { netns: namespace.inode, isHost: namespace.isHost };
}

/** A connection on a port that is listened on came in. The kernel prints listening sockets before all others. */
function directionOf(socket: Socket, listening: Set<number>): 'ingress' | 'egress' | undefined {
  if (socket.transport !== 'tcp' || socket.local === undefined || !('port' in socket.local)) return undefined;
  if (socket.listening === true) listening.add(socket.local.port);
  if (socket.remote === undefined) return undefined;
  return listening.has(socket.local.port) ? 'ingress' : 'egress';
}

function stillHolds(host: Host, { process, fd }: Owner, inode: number): boolean {
  return linkOf(`${host.proc}/${process.pid}/fd/${fd}`) === `socket:[${inode}]`;
}
