// How the namespaces are set up: rows of interfaces, routes and neighbours, kept until the pass is over.
import { type GapReport, gap } from '../../../capture/index.ts';
import { jsonLine } from '../../../evidence/index.ts';
import type { Host } from '../../host/host.ts';
import { readWhole } from '../../host/kernel-file.ts';
import type { InterfaceTable } from './interfaces.ts';
import type { Namespace } from './namespaces.ts';
import type { Neighbour, Route } from './routes.ts';

export interface SetUp {
  route(route: Route, namespace: Namespace): void;
  neighbour(neighbour: Neighbour, namespace: Namespace): void;
  /** `through` is the process whose /proc/PID/net was read. */
  namespace(namespace: Namespace, found: ReturnType<InterfaceTable['finish']>, through: number | undefined): void;
  readonly tables: {
    readonly interfaces: Table;
    readonly routes: Table;
    readonly neighbours: Table;
    readonly namespaces: Table;
  };
  gaps(): readonly GapReport[];
}

/** Rows as JSON lines, up to a number of bytes; what is beyond is counted. */
export interface Table {
  add(row: unknown): void;
  readonly lines: readonly Buffer[];
  readonly dropped: number;
}

const TABLE_BYTES = 16 * 1024 * 1024;

export function setUpOf(host: Host, bytes: number = TABLE_BYTES): SetUp {
  const tables = { interfaces: table(bytes), routes: table(bytes), neighbours: table(bytes), namespaces: table(bytes) };
  return {
    tables,
    route(route, namespace) {
      const { type, ...rest } = route;
      tables.routes.add({ network: { type }, impound: { ...placed(namespace), ...rest } });
    },
    neighbour({ ip, mac, ...rest }, namespace) {
      tables.neighbours.add({
        network: { type: 'ipv4' },
        host: { ip, mac },
        impound: { ...placed(namespace), ...rest },
      });
    },
    namespace(namespace, found, through) {
      for (const { addresses, ...item } of found.interfaces) {
        const link = namespace.isHost === true ? hostLink(host, item.name) : undefined;
        tables.interfaces.add({
          host: {
            ip: addresses.map((address) => address.split('/')[0]),
            ...(link?.mac === undefined ? {} : { mac: [link.mac] }),
          },
          observer: {
            ingress: { interface: { name: item.name, id: item.index === undefined ? undefined : String(item.index) } },
          },
          impound: { ...placed(namespace), addresses, rx: item.rx, tx: item.tx, ...link?.facts },
        });
      }
      if (found.unplaced.length > 0) {
        tables.interfaces.add({
          host: { ip: found.unplaced },
          impound: {
            ...placed(namespace),
            addresses: found.unplaced,
            note: 'local addresses whose interface no route tells',
          },
        });
      }
      tables.namespaces.add({
        impound: {
          ...placed(namespace),
          readThrough: through,
          processes: namespace.members.length,
          containers: [...new Set(namespace.members.flatMap(({ container }) => container?.containerId ?? []))].slice(
            0,
            64,
          ),
        },
      });
    },
    gaps() {
      return Object.entries(tables).flatMap(([name, { dropped }]) =>
        dropped === 0
          ? []
          : [
              gap(
                'truncated',
                `20-network/${name}.jsonl`,
                `limit of ${bytes} bytes: ${dropped} rows left; the raw files are in netns.tar.zst`,
              ),
            ],
      );
    },
  };
}

function table(bytes: number): Table {
  const lines: Buffer[] = [];
  let left = bytes;
  let dropped = 0;
  return {
    lines,
    get dropped() {
      return dropped;
    },
    add(row) {
      const line = jsonLine(row);
      if (line.length > left) {
        left = 0; // a later, shorter row must not slip in behind
        dropped++;
        return;
      }
      left -= line.length;
      lines.push(line);
    },
  };
}

function placed(namespace: Namespace): { readonly netns: number; readonly netnsIsHost: boolean | undefined } {
  return { netns: namespace.inode, netnsIsHost: namespace.isHost };
}

const PROMISCUOUS = 0x100; // IFF_PROMISC, include/uapi/linux/if.h

/** What sysfs says of a link. It shows the namespace it was mounted in, so it is asked for the host's own only. */
function hostLink(
  host: Host,
  name: string,
): { readonly mac?: string; readonly facts: Record<string, unknown> } | undefined {
  if (name.includes('/') || name === '..' || name === '.') return undefined;
  const read = (file: string): string | undefined => {
    const found = readWhole(`${host.sys}/class/net/${name}/${file}`, 256);
    return found.kind === 'whole' ? found.bytes.toString('latin1').trim() : undefined;
  };
  const flags = read('flags');
  const mac = read('address');
  return {
    ...(mac === undefined || mac === '' ? {} : { mac: mac.toUpperCase().replaceAll(':', '-') }),
    facts: {
      state: read('operstate'),
      mtu: read('mtu'),
      interfaceFlags: flags,
      ...(flags === undefined ? {} : { promiscuous: (Number(flags) & PROMISCUOUS) !== 0 }),
    },
  };
}
