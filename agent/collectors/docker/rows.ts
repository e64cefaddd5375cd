// Rows of the tables beside the containers': statistics, processes, changed files, images, networks, volumes, events.

import { at, entriesAt, listAt, numberAt, textAt, textsAt, timeAt } from '../../runtime/json.ts';
import type { ContainerName } from './container-row.ts';

type Row = Record<string, unknown>;

/** Shares are 0 to 1: of all the node's CPUs between the sample's two moments, of the container's memory limit. */
export function statsRow(container: ContainerName, stats: unknown): Row {
  const cpuDelta = difference(stats, 'cpu_usage', 'total_usage');
  const systemDelta = difference(stats, 'system_cpu_usage');
  const used = memoryUsed(stats);
  const limit = numberAt(stats, 'memory_stats', 'limit');
  const networks = entriesAt(stats, 'networks').map(([, network]) => network);
  return {
    '@timestamp': timeAt(stats, 'read'),
    container: {
      ...container,
      cpu: { usage: share(cpuDelta, systemDelta) },
      memory: { usage: share(used, limit) },
      network: { ingress: { bytes: sum(networks, 'rx_bytes') }, egress: { bytes: sum(networks, 'tx_bytes') } },
      disk: { read: { bytes: blockBytes(stats, 'read') }, write: { bytes: blockBytes(stats, 'write') } },
    },
    docker: {
      since: timeAt(stats, 'preread'),
      cpuNanoseconds: cpuDelta,
      cpuTotalNanoseconds: numberAt(stats, 'cpu_stats', 'cpu_usage', 'total_usage'),
      onlineCpus: numberAt(stats, 'cpu_stats', 'online_cpus'),
      throttling: at(stats, 'cpu_stats', 'throttling_data'),
      memoryBytes: used,
      memoryLimit: limit,
      pids: numberAt(stats, 'pids_stats', 'current'),
      networks: at(stats, 'networks'),
    },
  };
}

/** One row a process; the engine's columns are those of `ps -ef` on the node. */
export function topRows(container: ContainerName, top: unknown): readonly Row[] {
  const titles = textsAt(top, 'Titles');
  return listAt(top, 'Processes').map((process) => {
    const cells = textsAt(process);
    const columns = Object.fromEntries(titles.map((title, index) => [title, cells[index]]));
    const parent = whole(columns.PPID);
    return {
      container,
      process: {
        pid: whole(columns.PID),
        ...(parent === undefined ? {} : { parent: { pid: parent } }),
        user: { name: columns.UID ?? columns.USER },
        command_line: columns.CMD ?? columns.COMMAND,
      },
      docker: { top: columns },
    };
  });
}

const CHANGES = ['modified', 'added', 'deleted'] as const;

/** Go's encoder has put U+FFFD where a path is not UTF-8: its exact bytes are in the container's layer only. */
export function changeRow(container: ContainerName, change: unknown): Row {
  return {
    container,
    file: { path: textAt(change, 'Path') },
    docker: { change: CHANGES[numberAt(change, 'Kind') ?? -1] },
  };
}

export function imageRow(listed: unknown, inspect: unknown, history: unknown): Row {
  const names = textsAt(listed, 'RepoTags');
  const config = at(inspect, 'Config');
  return {
    container: { image: { name: names[0], hash: { all: [textAt(listed, 'Id'), ...digestsOf(listed)] } } },
    docker: {
      id: textAt(listed, 'Id'),
      repoTags: names,
      repoDigests: textsAt(listed, 'RepoDigests'),
      parent: textAt(inspect, 'Parent'),
      created: timeAt(inspect, 'Created'),
      tagged: timeAt(inspect, 'Metadata', 'LastTagTime'),
      size: numberAt(listed, 'Size'),
      architecture: textAt(inspect, 'Architecture'),
      os: textAt(inspect, 'Os'),
      author: textAt(inspect, 'Author'),
      comment: textAt(inspect, 'Comment'),
      entrypoint: at(config, 'Entrypoint'),
      cmd: at(config, 'Cmd'),
      env: at(config, 'Env'),
      user: textAt(config, 'User'),
      labels: at(config, 'Labels'),
      graphDriver: { name: textAt(inspect, 'GraphDriver', 'Name'), data: at(inspect, 'GraphDriver', 'Data') },
      layers: textsAt(inspect, 'RootFS', 'Layers'),
      history: listAt(history).map((step) => ({
        created: epochTime(numberAt(step, 'Created')),
        createdBy: textAt(step, 'CreatedBy'),
        comment: textAt(step, 'Comment'),
        size: numberAt(step, 'Size'),
        tags: at(step, 'Tags'),
      })),
    },
  };
}

/** "sha256:…" of each repository digest the engine keeps for an image. */
export function digestsOf(listed: unknown): readonly string[] {
  const digests = textsAt(listed, 'RepoDigests').map((digest) => digest.slice(digest.lastIndexOf('@') + 1));
  return [...new Set(digests.filter((digest) => digest.includes(':') && !digest.includes('<none>')))];
}

export function networkRow(network: unknown): Row {
  return { network: { name: textAt(network, 'Name') }, docker: { network } };
}

export function volumeRow(volume: unknown): Row {
  return { docker: { volume } };
}

export function eventRow(event: unknown): Row {
  const isContainer = textAt(event, 'Type') === 'container';
  const seconds = numberAt(event, 'time');
  const nanoseconds = numberAt(event, 'timeNano');
  return {
    '@timestamp': epochTime(nanoseconds === undefined ? seconds : nanoseconds / 1e9),
    event: { kind: 'event', action: textAt(event, 'Action') },
    ...(isContainer ? { container: eventContainer(event) } : {}),
    docker: { event },
  };
}

function eventContainer(event: unknown): Row {
  return {
    id: textAt(event, 'Actor', 'ID'),
    name: textAt(event, 'Actor', 'Attributes', 'name'),
    image: { name: textAt(event, 'Actor', 'Attributes', 'image') },
  };
}

function difference(stats: unknown, ...keys: readonly string[]): number | undefined {
  const now = numberAt(stats, 'cpu_stats', ...keys);
  const before = numberAt(stats, 'precpu_stats', ...keys);
  return now === undefined || before === undefined ? undefined : now - before;
}

/** As the engine's own client counts it: without the page cache that can be dropped (cgroup v1 and v2 name it apart). */
function memoryUsed(stats: unknown): number | undefined {
  const usage = numberAt(stats, 'memory_stats', 'usage');
  if (usage === undefined) return undefined;
  const detail = at(stats, 'memory_stats', 'stats');
  const cache = numberAt(detail, 'total_inactive_file') ?? numberAt(detail, 'inactive_file') ?? 0;
  return cache < usage ? usage - cache : usage;
}

function share(part: number | undefined, all: number | undefined): number | undefined {
  return part === undefined || all === undefined || all <= 0 ? undefined : Math.round((part / all) * 1e6) / 1e6;
}

function sum(values: readonly unknown[], key: string): number | undefined {
  return values.length === 0
    ? undefined
    : values.reduce((total: number, value) => total + (numberAt(value, key) ?? 0), 0);
}

function blockBytes(stats: unknown, operation: string): number | undefined {
  const entries = listAt(stats, 'blkio_stats', 'io_service_bytes_recursive');
  const wanted = entries.filter((entry) => textAt(entry, 'op')?.toLowerCase() === operation);
  return sum(wanted, 'value');
}

function whole(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]+$/.test(text) ? Number(text) : undefined;
}

function epochTime(seconds: number | undefined): string | undefined {
  if (seconds === undefined || Math.abs(seconds) > 8.64e12) return undefined;
  return new Date(seconds * 1000).toISOString();
}
