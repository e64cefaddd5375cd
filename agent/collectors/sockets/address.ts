// Addresses as /proc/net prints them: 32-bit words of the network's bytes, printed as numbers of this machine.
import { endianness } from 'node:os';

export interface Endpoint {
  readonly ip: string;
  readonly port: number;
}

const LITTLE = endianness() === 'LE';

/**
 * "0100007F:1F90", or 32 digits and a port, as get_tcp4_sock and tcp6 print them; undefined where it is neither.
 * An IPv4 address mapped into IPv6 stays what it is: "::ffff:127.0.0.1".
 */
export function endpoint(text: string | undefined, littleEndian: boolean = LITTLE): Endpoint | undefined {
  if (text === undefined) return undefined;
  const colon = text.indexOf(':');
  const port = text.slice(colon + 1);
  if (colon === -1 || !/^[0-9a-fA-F]{4}$/.test(port)) return undefined;
  const ip = wordsAddress(text.slice(0, colon), littleEndian);
  return ip === undefined ? undefined : { ip, port: Number.parseInt(port, 16) };
}

/** 8 or 32 digits in words of this machine's byte order. */
export function wordsAddress(digits: string, littleEndian: boolean = LITTLE): string | undefined {
  if (digits.length !== 8 && digits.length !== 32) return undefined;
  let network = '';
  for (let word = 0; word < digits.length; word += 8) {
    const eight = digits.slice(word, word + 8);
    network += littleEndian ? eight.slice(6, 8) + eight.slice(4, 6) + eight.slice(2, 4) + eight.slice(0, 2) : eight;
  }
  return networkAddress(network);
}

/** 8 or 32 digits in the network's byte order, as if_inet6 and ipv6_route have them. */
export function networkAddress(digits: string): string | undefined {
  if (!/^(?:[0-9a-fA-F]{8}|[0-9a-fA-F]{32})$/.test(digits)) return undefined;
  const bytes = Buffer.from(digits, 'hex');
  return bytes.length === 4 ? bytes.join('.') : formatV6(bytes);
}

/** RFC 5952 text; RFC 4291 mapped addresses with their IPv4 part dotted. */
function formatV6(bytes: Buffer): string {
  const groups: number[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(bytes.readUInt16BE(at));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${bytes.subarray(12).join('.')}`;
  }
  const run = longestZeroRun(groups);
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(':');
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

function longestZeroRun(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}
