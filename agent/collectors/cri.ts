// Collects what a node's runtimes know: the CRI's pods and containers, containerd's own namespaces, CRI-O's storage.
import type { Artefact, Collector, GapReport } from '../../capture/index.ts';
import { jsonLines, tarArchive } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import { hasStorage, STORAGE } from '../runtime/cri-o-storage.ts';
import {
  type ContainerdView,
  containerdContainerRows,
  containerdImageRows,
  containerdViewOf,
  contentRows,
  engineRow,
  leaseRows,
  namespaceRows,
  snapshotRows,
  taskRows,
} from './cri/containerd-tables.ts';
import { storageMembers, storedRows } from './cri/cri-o.ts';
import { findRuntimes, type Runtimes } from './cri/find.ts';
import { type Session, startSession } from './cri/session.ts';
import { type CriView, containerRows, imageRows, runtimeRow, sandboxRows, statsRows, viewOf } from './cri/tables.ts';

const FOLDER = '30-container/cri';
const CONTAINERD = '30-container/containerd';
const CRIO = '30-container/cri-o';
const RAW = `${FOLDER}/raw.tar.zst`;
const MIB = 1_048_576;

type Rows = AsyncGenerator<Record<string, unknown>>;

/** In order of volatility. */
const CRI_TABLES: Readonly<Record<string, (session: Session, view: CriView) => Rows>> = {
  sandboxes: sandboxRows,
  containers: containerRows,
  stats: statsRows,
  images: imageRows,
};
const CONTAINERD_TABLES: Readonly<Record<string, (session: Session, view: ContainerdView) => Rows>> = {
  containers: containerdContainerRows,
  tasks: taskRows,
  namespaces: namespaceRows,
  snapshots: snapshotRows,
  leases: leaseRows,
  images: containerdImageRows,
  content: contentRows,
};

export const cri: Collector<NodeContext> = Object.freeze({
  name: 'cri',
  description:
    "Kubernetes' runtime (CRI): every pod and container with its specification, statistics, images; containerd's own namespaces with what runs beside Kubernetes; CRI-O's storage",
  phase: 'volatile',
  volatility: 31,
  artefacts: [
    RAW,
    `${FOLDER}/runtime.json`,
    ...Object.keys(CRI_TABLES).map((table) => `${FOLDER}/${table}.jsonl`),
    `${CONTAINERD}/engine.json`,
    ...Object.keys(CONTAINERD_TABLES).map((table) => `${CONTAINERD}/${table}.jsonl`),
    `${CRIO}/containers.jsonl`,
    `${CRIO}/storage.tar.zst`,
  ],
  needs: [
    {
      kind: 'socket',
      name: '/run/containerd/containerd.sock',
      without: 'no container of containerd is described; their processes and sockets still are',
    },
    {
      kind: 'socket',
      name: '/run/crio/crio.sock',
      without: "CRI-O's containers are described by its storage only",
    },
  ],
  limits: { bytes: 1024 * MIB, seconds: 60 },
  collect,
} satisfies Collector<NodeContext>);

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  const runtimes = await findRuntimes(context);
  try {
    yield* runtimes.gaps;
    const session = startSession(context);
    const tables = tablesOf(session, runtimes);
    if (tables.length > 0) yield* captured(session, runtimes, tables);
    if (hasStorage(context.host)) yield* stored(session);
  } finally {
    for (const server of [...runtimes.cri, ...runtimes.containerd]) server.close();
  }
}

interface Table {
  readonly path: string;
  readonly source: string;
  content(): AsyncIterable<Uint8Array>;
}

function tablesOf(session: Session, runtimes: Runtimes): readonly Table[] {
  const cri = runtimes.cri.map((server) => viewOf(session, server));
  const containerd = runtimes.containerd.map((server) => {
    const same = cri.find((view) => view.cri.socket === server.socket);
    return containerdViewOf(session, server, same);
  });
  const tables: Table[] = [];
  const add = <View>(
    folder: string,
    views: readonly View[],
    source: string,
    document: string,
    about: (session: Session, view: View) => Promise<unknown>,
    rows: Readonly<Record<string, (session: Session, view: View) => Rows>>,
  ): void => {
    if (views.length === 0) return;
    tables.push({ path: `${folder}/${document}`, source, content: () => documents(session, views, about) });
    for (const [name, table] of Object.entries(rows)) {
      const content = (): AsyncIterable<Uint8Array> => jsonLines(ofAll(session, views, table));
      tables.push({ path: `${folder}/${name}.jsonl`, source, content });
    }
  };
  const sockets = (servers: readonly { readonly socket: string }[]): string =>
    servers.map(({ socket }) => `unix://${socket}`).join(' ');
  add(FOLDER, cri, sockets(runtimes.cri), 'runtime.json', runtimeRow, CRI_TABLES);
  add(CONTAINERD, containerd, sockets(runtimes.containerd), 'engine.json', engineRow, CONTAINERD_TABLES);
  return tables;
}

/** Every answer passes through the archive: it is read from the beginning, while the tables fill. */
async function* captured(
  session: Session,
  runtimes: Runtimes,
  tables: readonly Table[],
): AsyncGenerator<Artefact | GapReport> {
  const sockets = new Set([...runtimes.cri, ...runtimes.containerd].map(({ socket }) => `unix://${socket}`));
  yield { kind: 'artefact', path: RAW, source: [...sockets].join(' '), content: tarArchive(session.raw) };
  const ended: Promise<void>[] = [];
  for (const { path, source, content } of tables) {
    const { promise, resolve } = Promise.withResolvers<void>();
    ended.push(promise);
    session.context.signal.addEventListener('abort', () => resolve(), { once: true });
    yield { kind: 'artefact', path, source, content: finished(content(), resolve) };
  }
  await Promise.all(ended);
  session.raw.end();
  await session.raw.drained;
}

async function* stored(session: Session): AsyncGenerator<Artefact> {
  const rows = `${CRIO}/containers.jsonl`;
  yield {
    kind: 'artefact',
    path: rows,
    source: `${STORAGE}/overlay-containers`,
    content: jsonLines(storedRows(session)),
  };
  const archive = `${CRIO}/storage.tar.zst`;
  yield { kind: 'artefact', path: archive, source: STORAGE, content: tarArchive(storageMembers(session)) };
}

async function* ofAll<View>(
  session: Session,
  views: readonly View[],
  table: (session: Session, view: View) => Rows,
): Rows {
  for (const view of views) yield* table(session, view);
}

async function* documents<View>(
  session: Session,
  views: readonly View[],
  about: (session: Session, view: View) => Promise<unknown>,
): AsyncGenerator<Uint8Array> {
  const found = await Promise.all(views.map((view) => about(session, view)));
  yield Buffer.from(`${JSON.stringify(found, null, 2)}\n`);
}

async function* finished(content: AsyncIterable<Uint8Array>, done: () => void): AsyncGenerator<Uint8Array> {
  try {
    yield* content;
  } finally {
    done();
  }
}
