// /proc/net/unix: names are raw bytes, may hold newlines, and abstract ones have "@" for every NUL.
import { textField } from '../../../evidence/index.ts';
import { decimal, hexadecimal, type LineReader } from './lines.ts';
import type { Socket, SocketSink } from './socket.ts';

const LINE =
  /^([0-9a-fA-F]{8,16}|\(____ptrval____\)): ([0-9A-F]{8}) ([0-9A-F]{8}) ([0-9A-F]{8}) ([0-9A-F]{4}) ([0-9A-F]{2}) +(\d+)(?: ([\s\S]*))?$/;
const TYPES: Readonly<Record<number, string>> = { 1: 'stream', 2: 'dgram', 5: 'seqpacket' };
// enum socket_state in include/uapi/linux/net.h
const STATES: Readonly<Record<number, string>> = {
  0: 'free',
  1: 'unconnected',
  2: 'connecting',
  3: 'connected',
  4: 'disconnecting',
};
const ACCEPTS = 0x10000; // __SO_ACCEPTCON
const LONGEST_NAME = 108; // sizeof sun_path

/**
 * Reads the table. A line that does not look like one goes on the name before it, as far as a name can be long: so a
 * name with newlines stays whole. (A name can be made to look like a further line; it can add a row, never hide one.)
 */
export function unixTable(sink: SocketSink): LineReader {
  let held: string | undefined;
  let first = true;
  const release = (): void => {
    if (held === undefined) return;
    const socket = unixSocket(held);
    if (socket === undefined) sink.bad(held);
    else sink.socket(socket);
    held = undefined;
  };
  return {
    line(text) {
      const header = first && text.startsWith('Num');
      first = false;
      if (header) return;
      if (LINE.test(text)) {
        release();
        held = text;
      } else if (held !== undefined && nameLength(held) + 1 + text.length <= LONGEST_NAME) {
        held += `\n${text}`;
      } else {
        release();
        if (text !== '') sink.bad(text);
      }
    },
    end: release,
  };
}

/** One line (with what belongs to its name), or undefined where it is not one. */
export function unixSocket(text: string): Socket | undefined {
  const match = LINE.exec(text);
  if (match === null) return undefined;
  const [, , references, , flags, kind, state, inode, name] = match;
  const type = hexadecimal(kind);
  const condition = hexadecimal(state);
  const number = decimal(inode);
  if (type === undefined || condition === undefined || number === undefined) return undefined;
  const listening = ((hexadecimal(flags) ?? 0) & ACCEPTS) !== 0;
  return {
    transport: 'unix',
    state: listening ? 'listen' : (STATES[condition] ?? `0x${condition.toString(16)}`),
    ...(listening ? { listening } : {}),
    inode: number,
    details: {
      type: TYPES[type] ?? `${type}`,
      references: hexadecimal(references),
      ...(name === undefined || name === ''
        ? {}
        : { ...textField('path', Buffer.from(name, 'latin1')), ...(name.startsWith('@') ? { abstract: true } : {}) }),
    },
  };
}

function nameLength(line: string): number {
  return LINE.exec(line)?.[8]?.length ?? 0;
}
