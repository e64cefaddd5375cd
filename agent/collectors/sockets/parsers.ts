// Which parser reads which file of /proc/PID/net, and what it feeds.
import { inetTable } from './inet.ts';
import type { InterfaceTable } from './interfaces.ts';
import type { LineReader } from './lines.ts';
import { arpEntry, ipv4Route, ipv6Route, type Neighbour, type Route } from './routes.ts';
import type { SocketSink } from './socket.ts';
import { netlinkSocket, packetSocket, plainTable, sctpAssociation, sctpEndpoint } from './special.ts';
import { unixTable } from './unix.ts';

/** What the lines of one namespace's files become. */
export interface Sinks extends SocketSink {
  readonly interfaces: InterfaceTable;
  route(route: Route): void;
  neighbour(neighbour: Neighbour): void;
}

/** The parser of a file by its name below /proc/PID/net; undefined for a file that is kept raw only. */
export function parserFor(file: string, sinks: Sinks): LineReader | undefined {
  const inet = /^(tcp|udp|udplite|raw|icmp)(6?)$/.exec(file);
  if (inet !== null) {
    return inetTable(inet[1] as Parameters<typeof inetTable>[0], inet[2] === '6' ? 'ipv6' : 'ipv4', sinks);
  }
  switch (file) {
    case 'unix':
      return unixTable(sinks);
    case 'packet':
      return plainTable('sk', packetSocket, sinks);
    case 'netlink':
      return plainTable('sk', netlinkSocket, sinks);
    case 'sctp/eps':
      return plainTable('ENDPT', sctpEndpoint, sinks);
    case 'sctp/assocs':
      return plainTable('ASSOC', sctpAssociation, sinks);
    case 'route':
      return each('Iface', sinks, (line) => given(ipv4Route(line), sinks.route));
    case 'ipv6_route':
      return each(undefined, sinks, (line) => given(ipv6Route(line), sinks.route));
    case 'arp':
      return each('IP address', sinks, (line) => given(arpEntry(line), sinks.neighbour));
    case 'dev':
      return each(undefined, sinks, sinks.interfaces.dev);
    case 'if_inet6':
      return each(undefined, sinks, sinks.interfaces.ifInet6);
    case 'igmp':
      return each(undefined, sinks, sinks.interfaces.igmp);
    case 'dev_mcast':
      return each(undefined, sinks, sinks.interfaces.devMcast);
    case 'fib_trie':
      return each(undefined, sinks, sinks.interfaces.fibTrie);
    default:
      return undefined;
  }
}

/** Every line below the header goes to `take`, which says whether it could read it. */
function each(header: string | undefined, sinks: Sinks, take: (line: string) => boolean): LineReader {
  let first = true;
  return {
    line(text) {
      const skip = first && header !== undefined && text.startsWith(header);
      first = false;
      if (!skip && text.trim() !== '' && !take(text)) sinks.bad(text);
    },
    end() {},
  };
}

function given<T>(value: T | undefined, take: (value: T) => void): boolean {
  if (value === undefined) return false;
  take(value);
  return true;
}
