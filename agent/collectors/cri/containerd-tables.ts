// What containerd itself says of each of its namespaces: also what was started beside Kubernetes.
import { gap } from '../../../capture/index.ts';
import { type Containerd, type ContainerdMessage, SERVICES, within } from '../../runtime/containerd.ts';
import type { Answer } from '../../runtime/grpc.ts';
import {
  containerdContainerRow,
  containerdImageRow,
  contentRow,
  leaseRow,
  type Place,
  snapshotRow,
  taskRow,
} from './containerd-rows.ts';
import { ask, askStream, inOrder, type Question, type Session } from './session.ts';
import type { CriView } from './tables.ts';
import { measured } from './values.ts';

type Row = Record<string, unknown>;

/** Rows of one stream in one namespace: a content store of a large node has some ten thousand. */
const MAX_STREAMED = 200_000;
/** Longer than other calls: it reads a database from its beginning to its end. */
const STREAM_SECONDS = 20;

/** A containerd with what several tables need of it. */
export interface ContainerdView {
  readonly containerd: Containerd;
  readonly namespaces: Promise<readonly ContainerdMessage<'Namespace'>[]>;
  readonly plugins: Promise<readonly ContainerdMessage<'Plugin'>[]>;
  /** The CRI at the same socket. */
  readonly cri: CriView | undefined;
  /** What two tables tell of is asked for once. */
  readonly answers: Map<string, Promise<unknown>>;
}

export function containerdViewOf(session: Session, containerd: Containerd, cri: CriView | undefined): ContainerdView {
  const { socket } = containerd;
  const { signal } = session;
  const question = (service: string, method: string, what: string): Question => {
    return { socket, service, method, name: `${what} of containerd at unix://${socket}` };
  };
  const namespaces = ask(session, question(SERVICES.namespaces, 'List', 'namespaces'), () =>
    containerd.ask(SERVICES.namespaces, 'List', {}, { signal }),
  );
  const plugins = ask(session, question(SERVICES.introspection, 'Plugins', 'plugins'), () =>
    containerd.ask(SERVICES.introspection, 'Plugins', {}, { signal }),
  );
  return {
    containerd,
    cri,
    answers: new Map(),
    namespaces: namespaces.then((answer) => answer?.namespaces ?? []),
    plugins: plugins.then((answer) => answer?.plugins ?? []),
  };
}

export async function engineRow(session: Session, { containerd, plugins }: ContainerdView): Promise<Row> {
  const { socket } = containerd;
  const { signal } = session;
  const where = `of containerd at unix://${socket}`;
  const [version, server] = await Promise.all([
    ask(session, { socket, service: SERVICES.version, method: 'Version', name: `version ${where}` }, () =>
      containerd.ask(SERVICES.version, 'Version', {}, { signal }),
    ),
    ask(session, { socket, service: SERVICES.introspection, method: 'Server', name: `server ${where}` }, () =>
      containerd.ask(SERVICES.introspection, 'Server', {}, { signal }),
    ),
  ]);
  return { socket: `unix://${socket}`, version: measured(version), server, plugins: await plugins };
}

export async function* namespaceRows(_session: Session, view: ContainerdView): AsyncGenerator<Row> {
  for (const { name, labels } of await view.namespaces) {
    yield { containerd: { namespace: name, labels }, impound: { socket: view.containerd.socket } };
  }
}

export async function* containerdContainerRows(session: Session, view: ContainerdView): AsyncGenerator<Row> {
  const { containerd, cri } = view;
  const processes = await session.processes;
  const [sandboxes, containers] = cri === undefined ? [] : await Promise.all([cri.sandboxes(), cri.containers()]);
  const listed = sandboxes === undefined || containers === undefined ? undefined : [...sandboxes, ...containers];
  const listedByCri = listed === undefined ? undefined : new Set(listed.map(({ id }) => id));
  for await (const place of places(view)) {
    const call = () => containerd.ask(SERVICES.containers, 'List', {}, within(place.namespace, session.signal));
    const found = await ask(session, inPlace(place, SERVICES.containers, 'List', 'containers'), call);
    const tasks = new Map((await tasksIn(session, view, place)).map((task) => [task.id, task]));
    yield* inOrder(found?.containers ?? [], async (container) => {
      const { id, snapshotter, snapshot_key: key } = container;
      const task = tasks.get(id);
      const [pids, mounts] = await Promise.all([
        task === undefined ? [] : pidsOf(session, view, place, id),
        key === '' ? undefined : mountsOf(session, view, place, { snapshotter, key }),
      ]);
      return containerdContainerRow(container, place, { task, pids, mounts, processes, listedByCri });
    });
  }
}

export async function* taskRows(session: Session, view: ContainerdView): AsyncGenerator<Row> {
  const processes = await session.processes;
  for await (const place of places(view)) {
    yield* inOrder(await tasksIn(session, view, place), async (task) =>
      taskRow(task, await pidsOf(session, view, place, task.id), place, processes),
    );
  }
}

export async function* snapshotRows(session: Session, view: ContainerdView): AsyncGenerator<Row> {
  const { containerd } = view;
  const snapshotters = (await view.plugins)
    .filter(({ type, init_err }) => type === 'io.containerd.snapshotter.v1' && init_err === null)
    .map(({ id }) => id);
  for await (const place of places(view)) {
    for (const snapshotter of snapshotters) {
      const options = within(place.namespace, session.signal, STREAM_SECONDS);
      const question = inPlace(place, SERVICES.snapshots, 'List', `snapshots (${snapshotter})`, snapshotter);
      const call = () => containerd.stream(SERVICES.snapshots, 'List', { snapshotter }, options);
      const found = limited(session, question.name, askStream(session, question, call));
      for await (const snapshots of batches(found)) {
        yield* inOrder(snapshots, async (snapshot) => {
          // only one that is in use or was left behind has mounts; those of an image are below these
          const asked = snapshot.kind === 'ACTIVE' || snapshot.kind === 'VIEW';
          const key = { snapshotter, key: snapshot.name };
          return snapshotRow(
            snapshot,
            snapshotter,
            place,
            asked ? await mountsOf(session, view, place, key) : undefined,
          );
        });
      }
    }
  }
}

export async function* containerdImageRows(session: Session, view: ContainerdView): AsyncGenerator<Row> {
  for await (const place of places(view)) {
    const call = () => view.containerd.ask(SERVICES.images, 'List', {}, within(place.namespace, session.signal));
    const found = await ask(session, inPlace(place, SERVICES.images, 'List', 'images'), call);
    for (const image of found?.images ?? []) yield containerdImageRow(image, place);
  }
}

export async function* contentRows(session: Session, view: ContainerdView): AsyncGenerator<Row> {
  for await (const place of places(view)) {
    const options = within(place.namespace, session.signal, STREAM_SECONDS);
    const question = inPlace(place, SERVICES.content, 'List', 'content');
    const call = () => view.containerd.stream(SERVICES.content, 'List', {}, options);
    for await (const found of batches(limited(session, question.name, askStream(session, question, call)))) {
      for (const content of found) yield contentRow(content, place);
    }
  }
}

export async function* leaseRows(session: Session, view: ContainerdView): AsyncGenerator<Row> {
  for await (const place of places(view)) {
    const call = () => view.containerd.ask(SERVICES.leases, 'List', {}, within(place.namespace, session.signal));
    const found = await ask(session, inPlace(place, SERVICES.leases, 'List', 'leases'), call);
    for (const lease of found?.leases ?? []) yield leaseRow(lease, place);
  }
}

async function* places({ containerd, namespaces }: ContainerdView): AsyncGenerator<Place> {
  for (const { name } of await namespaces) yield { socket: containerd.socket, namespace: name };
}

async function tasksIn(
  session: Session,
  view: ContainerdView,
  place: Place,
): Promise<readonly ContainerdMessage<'Task'>[]> {
  const call = () => view.containerd.ask(SERVICES.tasks, 'List', {}, within(place.namespace, session.signal));
  return (await askOnce(session, view, inPlace(place, SERVICES.tasks, 'List', 'tasks'), call))?.tasks ?? [];
}

/** The engine's own count of a container's processes: what `exec` started is among them. */
async function pidsOf(session: Session, view: ContainerdView, place: Place, id: string): Promise<readonly number[]> {
  const request = { container_id: id };
  const call = () => view.containerd.ask(SERVICES.tasks, 'ListPids', request, within(place.namespace, session.signal));
  const question = inPlace(place, SERVICES.tasks, 'ListPids', `processes of ${id}`, id);
  return (await askOnce(session, view, question, call))?.processes.map(({ pid }) => pid) ?? [];
}

async function mountsOf(
  session: Session,
  view: ContainerdView,
  place: Place,
  request: { readonly snapshotter: string; readonly key: string },
): Promise<readonly ContainerdMessage<'Mount'>[] | undefined> {
  const options = within(place.namespace, session.signal);
  const call = () => view.containerd.ask(SERVICES.snapshots, 'Mounts', request, options);
  const what = `mounts of snapshot ${request.key}`;
  const question = inPlace(place, SERVICES.snapshots, 'Mounts', what, request.snapshotter, request.key);
  return (await askOnce(session, view, question, call))?.mounts;
}

function askOnce<T>(
  session: Session,
  { answers }: ContainerdView,
  question: Question,
  call: () => Promise<Answer<T>>,
): Promise<T | undefined> {
  const key = JSON.stringify([question.service, question.method, question.about]);
  const known = answers.get(key) as Promise<T | undefined> | undefined;
  if (known !== undefined) return known;
  const answer = ask(session, question, call);
  answers.set(key, answer);
  return answer;
}

function inPlace(place: Place, service: string, method: string, what: string, ...about: readonly string[]): Question {
  const { socket, namespace } = place;
  const name = `${what} in containerd's namespace ${namespace} at unix://${socket}`;
  return { socket, service, method, about: [namespace, ...about], name };
}

async function* batches<T>(answers: AsyncIterable<{ readonly info: readonly T[] }>): AsyncGenerator<readonly T[]> {
  for await (const { info } of answers) yield info;
}

async function* limited<T>(
  session: Session,
  name: string,
  answers: AsyncIterable<{ readonly info: readonly T[] }>,
): AsyncGenerator<{ readonly info: readonly T[] }> {
  let count = 0;
  for await (const answer of answers) {
    count += answer.info.length;
    if (count > MAX_STREAMED) {
      session.gap(gap('truncated', name, `more than ${MAX_STREAMED} rows; how many were left is not known`));
      return;
    }
    yield answer;
  }
}
