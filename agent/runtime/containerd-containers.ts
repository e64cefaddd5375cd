// Every container of every containerd namespace with its overlay folders, running or not.
import { describeError, forEachBounded, type Gap } from '../../evidence/index.ts';
import type { ContainerSources, KnownContainer, KnownContainers } from '../containers.ts';
import {
  type Containerd,
  type ContainerdMessage,
  distinctSockets,
  layerOf,
  openContainerd,
  SERVICES,
  within,
} from './containerd.ts';
import { isNotThere } from './grpc-error.ts';

const AT_ONCE = 8;
const MAX_CONTAINERS = 5000;
/** For the first answer, which costs a server nothing: who needs the containers waits for it. */
const FIRST_SECONDS = 3;

/** Of every containerd that answers. */
export async function containerdContainers({ containerdSockets, signal }: ContainerSources): Promise<KnownContainers> {
  const gaps: Gap[] = [];
  const containers: KnownContainer[] = [];
  for (const socket of await distinctSockets(containerdSockets)) {
    let engine: Containerd | undefined;
    try {
      engine = await openContainerd(socket);
      const answer = await engine.ask(SERVICES.namespaces, 'List', {}, { signal, seconds: FIRST_SECONDS });
      for (const { name } of answer.decode().namespaces)
        containers.push(...(await inNamespace(engine, name, signal, gaps)));
    } catch (error) {
      if (!isNotThere(error)) {
        gaps.push({ reason: 'failed', name: `containers of unix://${socket}`, detail: describeError(error) });
      }
    } finally {
      engine?.close();
    }
  }
  return { containers, gaps };
}

async function inNamespace(
  engine: Containerd,
  namespace: string,
  signal: AbortSignal,
  gaps: Gap[],
): Promise<readonly KnownContainer[]> {
  const options = within(namespace, signal);
  const where = `containers of unix://${engine.socket}, namespace ${namespace}`;
  try {
    const [listed, tasks] = await Promise.all([
      engine.ask(SERVICES.containers, 'List', {}, options),
      engine.ask(SERVICES.tasks, 'List', {}, options).catch((error: unknown) => {
        gaps.push({ reason: 'failed', name: where, detail: `which of them run: ${describeError(error)}` });
        return undefined;
      }),
    ]);
    const all = listed.decode().containers;
    if (all.length > MAX_CONTAINERS) {
      const name = `${where}: ${all.length - MAX_CONTAINERS} left`;
      gaps.push({ reason: 'truncated', name, detail: `more than ${MAX_CONTAINERS} containers` });
    }
    const running = new Map(tasks?.decode().tasks.map((task) => [task.id, task]));
    const found: KnownContainer[] = [];
    await forEachBounded(all.slice(0, MAX_CONTAINERS), AT_ONCE, async (container) => {
      const task = running.get(container.id);
      const [layer, pids] = await Promise.all([
        layerIn(engine, namespace, container, signal, gaps),
        task === undefined || HEX.test(container.id)
          ? undefined
          : pidsIn(engine, namespace, container.id, signal, gaps),
      ]);
      found.push({ ...known(namespace, container, task, layer), ...(pids === undefined ? {} : { pids }) });
    });
    return found;
  } catch (error) {
    gaps.push({ reason: 'failed', name: where, detail: describeError(error) });
    return [];
  }
}

/** An id by which its cgroup is known again. */
const HEX = /^[0-9a-f]{64}$/;

async function pidsIn(
  engine: Containerd,
  namespace: string,
  id: string,
  signal: AbortSignal,
  gaps: Gap[],
): Promise<readonly number[] | undefined> {
  try {
    const request = { container_id: id };
    const answer = await engine.ask(SERVICES.tasks, 'ListPids', request, within(namespace, signal));
    return answer.decode().processes.map(({ pid }) => pid);
  } catch (error) {
    gaps.push({ reason: 'failed', name: `processes of container ${id}`, detail: describeError(error) });
    return undefined;
  }
}

async function layerIn(
  engine: Containerd,
  namespace: string,
  { id, snapshotter, snapshot_key: key }: ContainerdMessage<'Container'>,
  signal: AbortSignal,
  gaps: Gap[],
): Promise<KnownContainer['layer']> {
  // Docker keeps its containers' folders itself
  if (key === '') return undefined;
  try {
    const answer = await engine.ask(SERVICES.snapshots, 'Mounts', { snapshotter, key }, within(namespace, signal));
    const layer = layerOf(answer.decode().mounts);
    return layer === undefined
      ? undefined
      : { upper: layer.upper, lower: layer.lower, userxattr: layer.userxattr === true };
  } catch (error) {
    gaps.push({ reason: 'failed', name: `snapshot of container ${id}`, detail: describeError(error) });
    return undefined;
  }
}

function known(
  namespace: string,
  { id, labels, image }: ContainerdMessage<'Container'>,
  task: ContainerdMessage<'Task'> | undefined,
  layer: KnownContainer['layer'],
): KnownContainer {
  const name = labels['io.kubernetes.container.name'] ?? labels['nerdctl/name'];
  const pod = podOf(labels);
  const alive = task !== undefined && RUNNING.has(String(task.status));
  return {
    id,
    engine: 'containerd',
    namespace,
    ...(name === undefined ? {} : { name }),
    ...(image === '' ? {} : { image }),
    ...(pod === undefined ? {} : { pod }),
    running: alive,
    ...(alive && task.pid > 0 ? { pid: task.pid } : {}),
    ...(layer === undefined ? {} : { layer }),
  };
}

/** A paused container has its processes still. */
const RUNNING: ReadonlySet<string> = new Set(['RUNNING', 'PAUSED', 'PAUSING']);

/** Labels that the kubelet sets through the CRI. */
export function podOf(labels: Readonly<Record<string, string>>): KnownContainer['pod'] {
  const name = labels['io.kubernetes.pod.name'];
  const namespace = labels['io.kubernetes.pod.namespace'];
  const uid = labels['io.kubernetes.pod.uid'];
  if (name === undefined || namespace === undefined) return undefined;
  return { namespace, name, ...(uid === undefined ? {} : { uid }) };
}
