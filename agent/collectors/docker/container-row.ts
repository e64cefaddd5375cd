// The row of one container in containers.jsonl: what the engine says of it, and which processes the node has for it.
import type { ProcessSummary } from '../../host/walk.ts';
import { at, entriesAt, numberAt, textAt, textsAt, timeAt } from '../../runtime/json.ts';
import type { Occupants } from './processes.ts';

/** How a container is named in every table. */
export interface ContainerName {
  readonly id: string;
  readonly name?: string;
}

export function containerName(id: string, inspect: unknown): ContainerName {
  const name = textAt(inspect, 'Name')?.replace(/^\//, '');
  return name === undefined ? { id } : { id, name };
}

/** What is known of a container beside its inspection. */
export interface Beside {
  readonly state: 'inspected' | 'listed' | 'vanished';
  /** Repository digests by image id. */
  readonly digests: ReadonlyMap<string, readonly string[]>;
  /** Undefined where the walk over /proc was not there in time. */
  readonly processes: readonly ProcessSummary[] | undefined;
}

export function containerRow(container: ContainerName, inspect: unknown, beside: Beside): Record<string, unknown> {
  const { state, digests, processes } = beside;
  const image = textAt(inspect, 'Image');
  return {
    container: {
      ...container,
      runtime: 'docker',
      image: {
        name: textAt(inspect, 'Config', 'Image'),
        hash: { all: image === undefined ? [] : [image, ...(digests.get(image) ?? [])] },
      },
      labels: at(inspect, 'Config', 'Labels'),
      security_context: { privileged: at(inspect, 'HostConfig', 'Privileged') },
    },
    ...podOf(inspect),
    docker: {
      created: timeAt(inspect, 'Created'),
      state: stateOf(inspect),
      restartCount: numberAt(inspect, 'RestartCount'),
      ...commandOf(inspect),
      ...confinementOf(inspect),
      ...placeOf(inspect),
    },
    impound: { listing: state, ...(processes === undefined ? {} : { processes: processesOf(processes) }) },
  };
}

/** A container that processes of the node are in but the engine does not list: of another engine, or hidden. */
export function unlistedRow(id: string, { processes, within }: Occupants): Record<string, unknown> {
  return {
    container: { id, runtime: 'docker' },
    impound: { listing: 'unlisted', ...(within.length === 0 ? {} : { within }), processes: processesOf(processes) },
  };
}

function processesOf(processes: readonly ProcessSummary[]): readonly Record<string, unknown>[] {
  return processes.map(({ pid, startTicks, comm }) => ({ pid, startTicks, comm }));
}

/** Labels that the kubelet's Docker shim and cri-dockerd set. */
function podOf(inspect: unknown): Record<string, unknown> {
  const name = textAt(inspect, 'Config', 'Labels', 'io.kubernetes.pod.name');
  const namespace = textAt(inspect, 'Config', 'Labels', 'io.kubernetes.pod.namespace');
  if (name === undefined) return {};
  return { orchestrator: { type: 'kubernetes', namespace, resource: { type: 'pod', name } } };
}

function stateOf(inspect: unknown): Record<string, unknown> {
  const state = at(inspect, 'State');
  return {
    status: textAt(state, 'Status'),
    paused: at(state, 'Paused'),
    pid: numberAt(state, 'Pid'),
    startedAt: timeAt(state, 'StartedAt'),
    finishedAt: timeAt(state, 'FinishedAt'),
    exitCode: numberAt(state, 'ExitCode'),
    oomKilled: at(state, 'OOMKilled'),
    error: textAt(state, 'Error'),
    health: textAt(state, 'Health', 'Status'),
  };
}

function commandOf(inspect: unknown): Record<string, unknown> {
  const config = at(inspect, 'Config');
  return {
    path: textAt(inspect, 'Path'),
    args: at(inspect, 'Args'),
    entrypoint: at(config, 'Entrypoint'),
    cmd: at(config, 'Cmd'),
    env: at(config, 'Env'),
    user: textAt(config, 'User'),
    workingDir: textAt(config, 'WorkingDir'),
    hostname: textAt(config, 'Hostname'),
    tty: at(config, 'Tty'),
    execIds: at(inspect, 'ExecIDs'),
  };
}

function confinementOf(inspect: unknown): Record<string, unknown> {
  const host = at(inspect, 'HostConfig');
  return {
    privileged: at(host, 'Privileged'),
    capAdd: at(host, 'CapAdd'),
    capDrop: at(host, 'CapDrop'),
    securityOpt: at(host, 'SecurityOpt'),
    apparmor: textAt(inspect, 'AppArmorProfile'),
    readonlyRootfs: at(host, 'ReadonlyRootfs'),
    pidMode: textAt(host, 'PidMode'),
    networkMode: textAt(host, 'NetworkMode'),
    ipcMode: textAt(host, 'IpcMode'),
    utsMode: textAt(host, 'UTSMode'),
    usernsMode: textAt(host, 'UsernsMode'),
    cgroupnsMode: textAt(host, 'CgroupnsMode'),
    cgroupParent: textAt(host, 'CgroupParent'),
    devices: at(host, 'Devices'),
    sysctls: at(host, 'Sysctls'),
    runtime: textAt(host, 'Runtime'),
    memoryLimit: numberAt(host, 'Memory'),
    nanoCpus: numberAt(host, 'NanoCpus'),
    pidsLimit: numberAt(host, 'PidsLimit'),
  };
}

function placeOf(inspect: unknown): Record<string, unknown> {
  const host = at(inspect, 'HostConfig');
  return {
    mounts: at(inspect, 'Mounts'),
    graphDriver: { name: textAt(inspect, 'GraphDriver', 'Name'), data: at(inspect, 'GraphDriver', 'Data') },
    ports: at(inspect, 'NetworkSettings', 'Ports'),
    networks: networksOf(inspect),
    extraHosts: textsAt(host, 'ExtraHosts'),
    dns: textsAt(host, 'Dns'),
    restartPolicy: textAt(host, 'RestartPolicy', 'Name'),
    autoRemove: at(host, 'AutoRemove'),
    logDriver: textAt(host, 'LogConfig', 'Type'),
    logPath: textAt(inspect, 'LogPath'),
    imageId: textAt(inspect, 'Image'),
  };
}

function networksOf(inspect: unknown): readonly Record<string, unknown>[] {
  return entriesAt(inspect, 'NetworkSettings', 'Networks').map(([name, network]) => ({
    name,
    id: textAt(network, 'NetworkID'),
    ip: textAt(network, 'IPAddress'),
    ip6: textAt(network, 'GlobalIPv6Address'),
    mac: textAt(network, 'MacAddress'),
    aliases: at(network, 'Aliases'),
  }));
}
