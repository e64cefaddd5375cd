// Routes and neighbours: /proc/net/route, ipv6_route and arp, see proc_pid_net(5) and net/ipv6/route.c.
import { networkAddress, wordsAddress } from './address.ts';
import { columns, decimal, hexadecimal } from './lines.ts';

export interface Route {
  readonly type: 'ipv4' | 'ipv6';
  /** With its prefix length: "10.0.0.0/8", "::/0". */
  readonly destination: string;
  readonly source?: string;
  /** Absent where the destination is on the link. */
  readonly gateway?: string;
  readonly interface: string;
  readonly metric: number;
  /** RTF_* of include/uapi/linux/route.h and ipv6_route.h. */
  readonly flags: string;
  readonly reject?: boolean;
}

export interface Neighbour {
  readonly ip: string;
  readonly mac: string;
  readonly interface: string;
  /** ATF_* of include/uapi/linux/if_arp.h: 0x2 complete, 0x4 permanent. */
  readonly flags: string;
  readonly hardwareType: string;
  readonly permanent: boolean;
}

const REJECT = 0x200;
const PERMANENT = 0x4;

/** A line of /proc/net/route: "eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0"; undefined where it is not one. */
export function ipv4Route(text: string): Route | undefined {
  const [name, target, via, flags, , , metric, mask] = columns(text);
  const destination = target?.length === 8 ? wordsAddress(target) : undefined;
  const gateway = via?.length === 8 ? wordsAddress(via) : undefined;
  const bits = hexadecimal(flags);
  const cost = decimal(metric);
  const length = mask?.length === 8 ? bitsOf(mask) : undefined;
  if (name === undefined || destination === undefined || gateway === undefined) return undefined;
  if (bits === undefined || cost === undefined || length === undefined) return undefined;
  return {
    type: 'ipv4',
    destination: `${destination}/${length}`,
    ...(gateway === '0.0.0.0' ? {} : { gateway }),
    interface: name,
    metric: cost,
    flags: `0x${bits.toString(16)}`,
    ...((bits & REJECT) === 0 ? {} : { reject: true }),
  };
}

/** A line of /proc/net/ipv6_route: destination, source, next hop, metric, references, use, flags, device. */
export function ipv6Route(text: string): Route | undefined {
  const [target, length, from, fromLength, via, metric, , , flags, name] = columns(text);
  const destination = v6(target);
  const source = v6(from);
  const gateway = v6(via);
  const prefix = hexadecimal(length);
  const sourcePrefix = hexadecimal(fromLength);
  const cost = hexadecimal(metric);
  const bits = hexadecimal(flags);
  if (destination === undefined || source === undefined || gateway === undefined || name === undefined)
    return undefined;
  if (prefix === undefined || sourcePrefix === undefined || cost === undefined || bits === undefined) return undefined;
  if (prefix > 128 || sourcePrefix > 128) return undefined;
  return {
    type: 'ipv6',
    destination: `${destination}/${prefix}`,
    ...(sourcePrefix === 0 ? {} : { source: `${source}/${sourcePrefix}` }),
    ...(gateway === '::' ? {} : { gateway }),
    interface: name,
    metric: cost,
    flags: `0x${bits.toString(16)}`,
    ...((bits & REJECT) === 0 ? {} : { reject: true }),
  };
}

/** A line of /proc/net/arp: "192.0.2.1 0x1 0x2 02:fc:00:00:00:05 * eth0". */
export function arpEntry(text: string): Neighbour | undefined {
  const [ip, type, flags, mac, , name] = columns(text);
  const bits = hexadecimal(flags?.replace(/^0x/, ''));
  if (ip === undefined || !/^\d+\.\d+\.\d+\.\d+$/.test(ip) || type === undefined || mac === undefined) return undefined;
  if (name === undefined || bits === undefined || !/^(?:[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2})*|\*)$/.test(mac)) {
    return undefined;
  }
  return {
    ip,
    mac: mac.toUpperCase().replaceAll(':', '-'),
    interface: name,
    flags: `0x${bits.toString(16)}`,
    hardwareType: type,
    permanent: (bits & PERMANENT) !== 0,
  };
}

function v6(digits: string | undefined): string | undefined {
  return digits?.length === 32 ? networkAddress(digits) : undefined;
}

/** Prefix length of a netmask: the number of bits set, whatever the byte order. */
function bitsOf(mask: string): number | undefined {
  let value = hexadecimal(mask);
  if (value === undefined) return undefined;
  let count = 0;
  for (; value > 0; value = Math.floor(value / 2)) count += value % 2;
  return count;
}
