// Rows of containerd's own tables: ECS names where ECS has one, its own words below `containerd`.
import type { ProcessSummary } from '../../host/walk.ts';
import { type ContainerdMessage, layerOf, specOf, timeOf } from '../../runtime/containerd.ts';
import { jsonOf } from '../../runtime/grpc-json.ts';
import { at } from '../../runtime/json.ts';
import { orchestrator, podOfLabels } from './kubernetes.ts';
import { processesIn, processFields } from './processes.ts';
import { given, number } from './values.ts';

/** The namespace a kubelet's containers are in. */
const KUBERNETES = 'k8s.io';
/** Set by containerd's CRI on everything it makes: "sandbox" or "container". */
const CRI_KIND = 'io.cri-containerd.kind';

export interface Place {
  readonly socket: string;
  readonly namespace: string;
}

export interface Beside {
  readonly task: ContainerdMessage<'Task'> | undefined;
  readonly pids: readonly number[];
  /** Undefined where they could not be had. */
  readonly mounts: readonly ContainerdMessage<'Mount'>[] | undefined;
  readonly processes: ReadonlyMap<number, ProcessSummary>;
  /** Ids that the CRI lists at the same socket; undefined where it was not asked. */
  readonly listedByCri: ReadonlySet<string> | undefined;
}

export function containerdContainerRow(
  container: ContainerdMessage<'Container'>,
  { socket, namespace }: Place,
  { task, pids, mounts, processes, listedByCri }: Beside,
): Record<string, unknown> {
  const { id, labels } = container;
  const spec = specOf(container);
  const process = task === undefined ? undefined : processes.get(task.pid);
  return {
    container: {
      id,
      name: labels['io.kubernetes.container.name'] ?? labels['nerdctl/name'],
      runtime: 'containerd',
      image: { name: given(container.image) },
      labels,
    },
    ...orchestrator(podOfLabels(labels)),
    containerd: {
      namespace,
      runtime: given(container.runtime?.name ?? ''),
      runtimeOptions: any(container.runtime?.options ?? null),
      snapshotter: given(container.snapshotter),
      snapshotKey: given(container.snapshot_key),
      mounts,
      layer: mounts === undefined ? undefined : layerOf(mounts),
      created: timeOf(container.created_at),
      updated: timeOf(container.updated_at),
      sandbox: given(container.sandbox),
      task: task === undefined ? undefined : taskFields(task),
      args: at(spec, 'process', 'args'),
      env: at(spec, 'process', 'env'),
      spec: spec ?? any(container.spec),
      extensions: Object.fromEntries(Object.entries(container.extensions).map(([name, value]) => [name, any(value)])),
    },
    impound: {
      socket,
      kubernetes: namespace === KUBERNETES && labels[CRI_KIND] !== undefined,
      listedByCri: namespace === KUBERNETES ? listedByCri?.has(id) : undefined,
      process: process === undefined ? undefined : processFields(process),
      processes: processesIn(id, pids, processes),
    },
  };
}

export function taskRow(
  task: ContainerdMessage<'Task'>,
  pids: readonly number[],
  { socket, namespace }: Place,
  processes: ReadonlyMap<number, ProcessSummary>,
): Record<string, unknown> {
  const process = processes.get(task.pid);
  return {
    container: { id: task.id },
    process: { pid: task.pid, name: process?.comm },
    containerd: { namespace, ...taskFields(task), pids },
    impound: { socket, startTicks: process?.startTicks, processes: processesIn(task.id, pids, processes) },
  };
}

export function snapshotRow(
  { name, parent, kind, created_at, updated_at, labels }: ContainerdMessage<'Snapshot'>,
  snapshotter: string,
  { socket, namespace }: Place,
  mounts: readonly ContainerdMessage<'Mount'>[] | undefined,
): Record<string, unknown> {
  return {
    containerd: {
      namespace,
      snapshotter,
      key: name,
      parent: given(parent),
      kind,
      created: timeOf(created_at),
      updated: timeOf(updated_at),
      labels,
      mounts,
      layer: mounts === undefined ? undefined : layerOf(mounts),
    },
    impound: { socket },
  };
}

export function containerdImageRow(
  { name, labels, target, created_at, updated_at }: ContainerdMessage<'Image'>,
  { socket, namespace }: Place,
): Record<string, unknown> {
  return {
    container: { image: { name, hash: { all: target === null ? [] : [target.digest] } } },
    containerd: {
      namespace,
      labels,
      mediaType: target?.media_type,
      size: target === null ? undefined : number(target.size),
      annotations: target?.annotations,
      created: timeOf(created_at),
      updated: timeOf(updated_at),
    },
    impound: { socket },
  };
}

export function contentRow(
  { digest, size, created_at, updated_at, labels }: ContainerdMessage<'Content'>,
  { socket, namespace }: Place,
): Record<string, unknown> {
  return {
    containerd: {
      namespace,
      digest,
      size: number(size),
      created: timeOf(created_at),
      updated: timeOf(updated_at),
      labels,
    },
    impound: { socket },
  };
}

export function leaseRow(
  { id, created_at, labels }: ContainerdMessage<'Lease'>,
  { socket, namespace }: Place,
): Record<string, unknown> {
  return { containerd: { namespace, lease: id, created: timeOf(created_at), labels }, impound: { socket } };
}

function taskFields(task: ContainerdMessage<'Task'>): Record<string, unknown> {
  const { pid, status, stdin, stdout, stderr, terminal, exit_status, exited_at } = task;
  return {
    pid,
    status,
    exitStatus: status === 'STOPPED' ? exit_status : undefined,
    exited: timeOf(exited_at),
    stdin: given(stdin),
    stdout: given(stdout),
    stderr: given(stderr),
    terminal,
  };
}

/** JSON where it is JSON, which containerd's Go types are; else the bytes. */
function any(value: ContainerdMessage<'Any'> | null): Record<string, unknown> | undefined {
  if (value === null) return undefined;
  const parsed = jsonOf(value.value.toString('utf8'));
  const known = parsed === undefined ? { value_base64: value.value.toString('base64') } : { value: parsed };
  return { type: value.type_url, ...known };
}
