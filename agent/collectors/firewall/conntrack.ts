// Rows from tracked connections, as /proc/net/nf_conntrack and `conntrack -L -o extended` print them alike.
import { columns, decimal, type LineReader } from '../sockets/lines.ts';
import type { Emit } from './rows.ts';

/** One direction of a connection. */
interface Tuple {
  readonly fields: Record<string, string>;
}

/**
 * "ipv4 2 tcp 6 431999 ESTABLISHED src=A dst=B sport=1 dport=2 [packets=1 bytes=2] src=B dst=A … [ASSURED] mark=0 …",
 * see ct_seq_show() in net/netfilter/nf_conntrack_standalone.c. Connections beyond `bound` are counted by `left`.
 */
export function conntrackTable(bound: number, emit: Emit, bad: () => void, left: () => void): LineReader {
  let rows = 0;
  return {
    line(text) {
      if (text.trim() === '') return;
      if (rows >= bound) return left();
      const entry = conntrackEntry(text);
      if (entry === undefined) return bad();
      rows++;
      emit('conntrack', entry.ecs, entry.facts);
    },
    end() {},
  };
}

export function conntrackEntry(
  text: string,
): { readonly ecs: Record<string, unknown>; readonly facts: Record<string, unknown> } | undefined {
  const [family, , transport, protocol, ...rest] = columns(text);
  if ((family !== 'ipv4' && family !== 'ipv6') || transport === undefined || decimal(protocol) === undefined) {
    return undefined;
  }
  const tuples: Tuple[] = [];
  const other: Record<string, string> = {};
  const flags: string[] = [];
  let timeout: number | undefined;
  let state: string | undefined;
  for (const word of rest) {
    const at = word.indexOf('=');
    if (/^\[.+\]$/.test(word)) flags.push(word.slice(1, -1).toLowerCase());
    else if (at === -1 && timeout === undefined && tuples.length === 0 && decimal(word) !== undefined)
      timeout = decimal(word);
    else if (at === -1) state ??= word.toLowerCase();
    else if (word.startsWith('src=')) tuples.push({ fields: { src: word.slice(4) } });
    else {
      const name = word.slice(0, at);
      const tuple = TUPLE_FIELDS.has(name) ? tuples.at(-1)?.fields : undefined;
      (tuple ?? other)[name] = word.slice(at + 1);
    }
  }
  const [there, back] = tuples;
  if (there === undefined || back === undefined) return undefined;
  return {
    ecs: {
      network: { type: family, transport, iana_number: protocol },
      source: {
        ...end(there, 'src', 'sport'),
        ...volume(there),
        nat: translated(back, 'dst', 'dport', there, 'src', 'sport'),
      },
      destination: {
        ...end(there, 'dst', 'dport'),
        ...volume(back),
        nat: translated(back, 'src', 'sport', there, 'dst', 'dport'),
      },
    },
    facts: { state, timeoutSeconds: timeout, flags, ...other, original: there.fields, reply: back.fields },
  };
}

const TUPLE_FIELDS = new Set(['dst', 'sport', 'dport', 'packets', 'bytes', 'type', 'code', 'id', 'srckey', 'dstkey']);

function end({ fields }: Tuple, ip: string, port: string): Record<string, unknown> {
  return { ip: fields[ip], port: decimal(fields[port]) };
}

function volume({ fields }: Tuple): Record<string, unknown> {
  return { packets: decimal(fields.packets), bytes: decimal(fields.bytes) };
}

/** The address the answers really come from or go to, where it is another than was asked for. */
function translated(
  back: Tuple,
  ip: string,
  port: string,
  there: Tuple,
  asked: string,
  askedPort: string,
): Record<string, unknown> | undefined {
  const same = back.fields[ip] === there.fields[asked] && back.fields[port] === there.fields[askedPort];
  return same ? undefined : end(back, ip, port);
}
