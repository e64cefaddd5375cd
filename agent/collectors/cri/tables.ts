// What the CRI says: its tables as rows that are asked for while they are stored.
import { type Cri, type CriMessage, IMAGES, RUNTIME } from '../../runtime/cri.ts';
import {
  containerRow,
  containerStatsRow,
  type ImageNames,
  imageRow,
  type RowContext,
  sandboxRow,
  sandboxStatsRow,
} from './rows.ts';
import { ask, inOrder, type Question, type Session } from './session.ts';
import { measured, verbose } from './values.ts';

type Row = Record<string, unknown>;

/** A runtime with its lists, each asked for once. */
export interface CriView {
  readonly cri: Cri;
  readonly sandboxes: () => Promise<readonly CriMessage<'PodSandbox'>[] | undefined>;
  readonly containers: () => Promise<readonly CriMessage<'Container'>[] | undefined>;
  readonly images: () => Promise<readonly CriMessage<'Image'>[] | undefined>;
}

export function viewOf(session: Session, cri: Cri): CriView {
  const { signal } = session;
  const question = (method: string, service: string, what: string): Question => ({
    socket: cri.socket,
    service,
    method,
    name: `${what} of unix://${cri.socket}`,
  });
  return {
    cri,
    sandboxes: onceOnly(async () => {
      const asked = question('ListPodSandbox', RUNTIME, 'pod sandboxes');
      return (await ask(session, asked, () => cri.ask(RUNTIME, 'ListPodSandbox', {}, { signal })))?.items;
    }),
    containers: onceOnly(async () => {
      const asked = question('ListContainers', RUNTIME, 'containers');
      return (await ask(session, asked, () => cri.ask(RUNTIME, 'ListContainers', {}, { signal })))?.containers;
    }),
    images: onceOnly(async () => {
      const asked = question('ListImages', IMAGES, 'images');
      return (await ask(session, asked, () => cri.ask(IMAGES, 'ListImages', {}, { signal })))?.images;
    }),
  };
}

/** Version, verbose status and image file systems: one row a runtime. */
export async function runtimeRow(session: Session, { cri }: CriView): Promise<Row> {
  const { signal } = session;
  const { socket } = cri;
  const where = `of unix://${socket}`;
  const [version, status, files] = await Promise.all([
    ask(session, { socket, service: RUNTIME, method: 'Version', name: `version ${where}` }, () =>
      cri.ask(RUNTIME, 'Version', {}, { signal }),
    ),
    ask(session, { socket, service: RUNTIME, method: 'Status', name: `status ${where}` }, () =>
      cri.ask(RUNTIME, 'Status', { verbose: true }, { signal }),
    ),
    ask(session, { socket, service: IMAGES, method: 'ImageFsInfo', name: `image file systems ${where}` }, () =>
      cri.ask(IMAGES, 'ImageFsInfo', {}, { signal }),
    ),
  ]);
  return {
    socket: `unix://${socket}`,
    version: measured(version),
    conditions: status?.status?.conditions,
    runtimeHandlers: status?.runtime_handlers.map(({ name }) => name),
    info: verbose(status?.info ?? {}),
    imageFilesystems: measured(files?.image_filesystems),
    containerFilesystems: measured(files?.container_filesystems),
  };
}

export async function* sandboxRows(session: Session, view: CriView): AsyncGenerator<Row> {
  const { cri } = view;
  const context = await rowContext(session, cri.socket);
  yield* inOrder((await view.sandboxes()) ?? [], async (listed) => {
    const question = statusOf(cri.socket, 'PodSandboxStatus', listed.id, `pod sandbox ${listed.id}`);
    const request = { pod_sandbox_id: listed.id, verbose: true };
    const call = () => cri.ask(RUNTIME, 'PodSandboxStatus', request, { signal: session.signal });
    return sandboxRow(listed, await ask(session, question, call), context);
  });
}

export async function* containerRows(session: Session, view: CriView): AsyncGenerator<Row> {
  const { cri } = view;
  const [context, containers, sandboxes, images] = await Promise.all([
    rowContext(session, cri.socket),
    view.containers(),
    view.sandboxes(),
    view.images(),
  ]);
  const pods = new Map(sandboxes?.map((sandbox) => [sandbox.id, sandbox]));
  const names = imageNames(images ?? []);
  yield* inOrder(containers ?? [], async (listed) => {
    const question = statusOf(cri.socket, 'ContainerStatus', listed.id, `container ${listed.id}`);
    const request = { container_id: listed.id, verbose: true };
    const call = () => cri.ask(RUNTIME, 'ContainerStatus', request, { signal: session.signal });
    const answer = await ask(session, question, call);
    return containerRow(listed, answer, pods.get(listed.pod_sandbox_id), names, context);
  });
}

export async function* imageRows(session: Session, view: CriView): AsyncGenerator<Row> {
  const { cri } = view;
  yield* inOrder((await view.images()) ?? [], async (listed) => {
    const name = `image ${listed.id}`;
    const question = { socket: cri.socket, service: IMAGES, method: 'ImageStatus', about: [listed.id], name };
    const request = { image: { image: listed.id }, verbose: true };
    const call = () => cri.ask(IMAGES, 'ImageStatus', request, { signal: session.signal });
    return imageRow(listed, await ask(session, question, call), cri.socket);
  });
}

export async function* statsRows(session: Session, view: CriView): AsyncGenerator<Row> {
  const { cri } = view;
  const { signal } = session;
  const { socket } = cri;
  const where = `of unix://${socket}`;
  const asked = { socket, service: RUNTIME, method: 'ListContainerStats', name: `statistics of containers ${where}` };
  const containers = await ask(session, asked, () => cri.ask(RUNTIME, 'ListContainerStats', {}, { signal }));
  for (const stats of containers?.stats ?? []) yield containerStatsRow(stats, socket);
  // one by one, since one pod that cannot be measured makes containerd refuse the list of all
  const rows = inOrder((await view.sandboxes()) ?? [], async ({ id, state }) => {
    if (state !== 'SANDBOX_READY') return undefined;
    const question = statusOf(socket, 'PodSandboxStats', id, `statistics of pod sandbox ${id}`);
    const call = () => cri.ask(RUNTIME, 'PodSandboxStats', { pod_sandbox_id: id }, { signal });
    const answer = await ask(session, question, call);
    return answer?.stats ? sandboxStatsRow(answer.stats, socket) : undefined;
  });
  for await (const row of rows) if (row !== undefined) yield row;
}

function statusOf(socket: string, method: string, id: string, name: string): Question {
  return { socket, service: RUNTIME, method, about: [id], name };
}

async function rowContext(session: Session, socket: string): Promise<RowContext> {
  return { socket, host: session.context.host, processes: await session.processes };
}

function imageNames(images: readonly CriMessage<'Image'>[]): ImageNames {
  const byReference = new Map<string, CriMessage<'Image'>>();
  for (const image of images) {
    for (const name of [...image.repo_tags, ...image.repo_digests, image.id]) byReference.set(name, image);
  }
  return { byReference };
}

function onceOnly<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= work();
    return result;
  };
}
