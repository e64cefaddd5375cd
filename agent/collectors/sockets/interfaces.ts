// Interfaces of one network namespace, put together from what /proc/net says of them in several files.
import { networkAddress } from './address.ts';
import { columns, decimal, hexadecimal } from './lines.ts';
import type { Route } from './routes.ts';

interface Counters {
  readonly bytes: number;
  readonly packets: number;
  readonly errors: number;
  readonly dropped: number;
}

export interface Interface {
  readonly name: string;
  index?: number;
  rx?: Counters;
  tx?: Counters;
  /** "fe80::1/64". IPv4 addresses have their prefix only where a route on the link tells it. */
  readonly addresses: string[];
}

/** What is gathered while the namespace's files are read; each method takes one line of one file. */
export interface InterfaceTable {
  dev(line: string): boolean;
  ifInet6(line: string): boolean;
  igmp(line: string): boolean;
  devMcast(line: string): boolean;
  fibTrie(line: string): boolean;
  /** Routes on the link, to find the interface of an IPv4 address. */
  route(route: Route): void;
  /** The interfaces, and the IPv4 addresses that no route on a link explains. */
  finish(): { readonly interfaces: readonly Interface[]; readonly unplaced: readonly string[] };
}

const MOST = 4096; // interfaces, addresses and routes kept of one namespace; the raw files have the rest

export function interfaceTable(): InterfaceTable {
  const byName = new Map<string, Interface>();
  const local = new Set<string>();
  const onLink: { readonly base: number; readonly length: number; readonly name: string }[] = [];
  let leaf: string | undefined;
  const of = (name: string): Interface => {
    const known = byName.get(name) ?? { name, addresses: [] };
    if (byName.size < MOST) byName.set(name, known);
    return known;
  };
  return {
    dev(line) {
      if (line.includes('|')) return true;
      const colon = line.lastIndexOf(':');
      const counts = columns(line.slice(colon + 1)).map(decimal);
      const name = line.slice(0, colon).trim();
      if (colon === -1 || name === '' || counts.length < 16) return false;
      const item = of(name);
      item.rx = counters(counts, 0);
      item.tx = counters(counts, 8);
      return true;
    },
    ifInet6(line) {
      const [digits, index, length, , , name] = columns(line);
      const ip = digits?.length === 32 ? networkAddress(digits) : undefined;
      const prefix = hexadecimal(length);
      if (ip === undefined || prefix === undefined || name === undefined) return false;
      const item = of(name);
      const number = hexadecimal(index);
      if (number !== undefined) item.index = number;
      if (item.addresses.length < MOST) item.addresses.push(`${ip}/${prefix}`);
      return true;
    },
    igmp(line) {
      const match = /^(\d+)\t(\S+)\s*:/.exec(line);
      if (match !== null) of(match[2] ?? '').index = Number(match[1]);
      return true; // lines of groups follow each interface
    },
    devMcast(line) {
      const [index, name] = columns(line);
      const number = decimal(index);
      if (number === undefined || name === undefined) return false;
      of(name).index = number;
      return true;
    },
    fibTrie(line) {
      const match = /\|-- (\d+\.\d+\.\d+\.\d+)/.exec(line);
      if (match !== null) leaf = match[1];
      else if (leaf !== undefined && /\/32 host LOCAL/.test(line) && local.size < MOST) local.add(leaf);
      return true;
    },
    route(route) {
      if (route.type !== 'ipv4' || route.gateway !== undefined || onLink.length >= MOST) return;
      const [ip = '', length = ''] = route.destination.split('/');
      const base = numberOf(ip);
      if (base !== undefined && length !== '0') onLink.push({ base, length: Number(length), name: route.interface });
    },
    finish() {
      const unplaced: string[] = [];
      onLink.sort((a, b) => b.length - a.length);
      for (const ip of local) {
        const address = numberOf(ip) ?? 0;
        const route = onLink.find(({ base, length }) => Math.floor((address - base) / 2 ** (32 - length)) === 0);
        if (ip.startsWith('127.') && byName.has('lo')) of('lo').addresses.push(ip);
        else if (route !== undefined) of(route.name).addresses.push(`${ip}/${route.length}`);
        else unplaced.push(ip);
      }
      return { interfaces: [...byName.values()], unplaced };
    },
  };
}

function counters(values: readonly (number | undefined)[], at: number): Counters {
  return {
    bytes: values[at] ?? 0,
    packets: values[at + 1] ?? 0,
    errors: values[at + 2] ?? 0,
    dropped: values[at + 3] ?? 0,
  };
}

function numberOf(ip: string): number | undefined {
  const bytes = ip.split('.').map(Number);
  if (bytes.length !== 4 || bytes.some((byte) => !(byte >= 0 && byte <= 255))) return undefined;
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}
