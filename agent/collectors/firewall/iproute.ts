// Rows from the JSON of ip(8), tc(8) and bpftool-net(8): each object is kept as it was printed.
import { asNumber, asObject, asText } from './json-items.ts';
import type { Emit } from './rows.ts';

type Item = Readonly<Record<string, unknown>>;

export function ruleRow(type: 'ipv4' | 'ipv6'): (item: Item, emit: Emit) => void {
  return (item, emit) => emit('routing-rule', { network: { type } }, { rule: item });
}

export function routeRow(item: Item, emit: Emit): void {
  const destination = asText(item.dst);
  const type = typeOf(destination === 'default' ? (asText(item.gateway) ?? asText(item.prefsrc)) : destination);
  emit('route', { network: { type } }, { table: asText(item.table), interface: asText(item.dev), route: item });
}

export function neighbourRow(item: Item, emit: Emit): void {
  const ip = asText(item.dst);
  const mac = asText(item.lladdr)?.toUpperCase().replaceAll(':', '-');
  emit(
    'neighbour',
    { network: { type: typeOf(ip) }, host: { ip, mac } },
    { interface: asText(item.dev), neighbour: item },
  );
}

/** `xdp` and `promiscuity` are what hides or sniffs: they stand beside the object they are from. */
export function linkRow(item: Item, emit: Emit): void {
  const addresses = (Array.isArray(item.addr_info) ? item.addr_info : []).flatMap(
    (one) => asText(asObject(one)?.local) ?? [],
  );
  const mac = asText(item.address)?.toUpperCase().replaceAll(':', '-');
  emit(
    'link',
    {
      host: { ip: addresses, mac: mac === undefined ? [] : [mac] },
      observer: { ingress: { interface: { name: asText(item.ifname), id: textOf(item.ifindex) } } },
    },
    { interface: asText(item.ifname), xdp: item.xdp, promiscuity: asNumber(item.promiscuity), link: item },
  );
}

export function qdiscRow(item: Item, emit: Emit): void {
  emit('qdisc', {}, { interface: asText(item.dev), qdisc: item });
}

/** The object itself does not say which link it is at. */
export function filterRow(link: string, hook: string): (item: Item, emit: Emit) => void {
  return (item, emit) => emit('tc-filter', {}, { interface: link, hook, filter: item });
}

/** One object with a list for each way of attaching a program: xdp, tc, flow_dissector, netfilter. */
export function attachmentRows(item: Item, emit: Emit): void {
  for (const [hook, list] of Object.entries(item)) {
    for (const attached of Array.isArray(list) ? list : []) {
      emit('bpf-attachment', {}, { hook, interface: asText(asObject(attached)?.devname), attachment: attached });
    }
  }
}

function typeOf(address: string | undefined): 'ipv4' | 'ipv6' | undefined {
  if (address === undefined) return undefined;
  return address.includes(':') ? 'ipv6' : 'ipv4';
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'number' ? String(value) : undefined;
}
