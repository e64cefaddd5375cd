// Collects what a Docker engine knows: itself, containers running or not, images, networks, volumes, events, logs.
import type { Artefact, Collector, GapReport } from '../../capture/index.ts';
import { tarArchive } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import { captureContainers, type Inspected } from './docker/containers.ts';
import { findEngine } from './docker/find.ts';
import { logMembers } from './docker/logs.ts';
import {
  captureEngine,
  captureEvents,
  captureImages,
  captureNetworks,
  captureVolumes,
  listImages,
} from './docker/objects.ts';
import { type Session, startSession } from './docker/session.ts';
import type { Table } from './docker/table.ts';

const FOLDER = '30-container/docker';
const CHANGES = `${FOLDER}/changes.jsonl`;
const TABLES = ['containers', 'top', 'networks', 'volumes', 'images', 'events', 'stats'] as const;
const MIB = 1_048_576;

export const docker: Collector<NodeContext> = Object.freeze({
  name: 'docker',
  description:
    'the Docker engine: every container with its processes, statistics, changed files and logs; images, networks, volumes, events',
  phase: 'volatile',
  volatility: 30,
  artefacts: [
    `${FOLDER}/engine.json`,
    ...TABLES.map((table) => `${FOLDER}/${table}.jsonl`),
    CHANGES,
    `${FOLDER}/logs.tar.zst`,
    `${FOLDER}/raw.tar.zst`,
  ],
  needs: [
    {
      kind: 'socket',
      name: '/var/run/docker.sock',
      without: 'no Docker container is described; their processes and sockets still are',
    },
  ],
  limits: { bytes: 1024 * MIB, seconds: 60 },
  collect,
} satisfies Collector<NodeContext>);

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  const { engine, gaps } = await findEngine(context);
  yield* gaps;
  if (engine === undefined) return;
  const session = startSession(engine, context);
  const source = `unix://${engine.socket}`;
  const running = start(session);
  // every answer passes through the archive: it is read from the beginning, while the tables fill, and so is the one
  // table that is not kept in memory
  yield { kind: 'artefact', path: `${FOLDER}/raw.tar.zst`, source, content: tarArchive(session.raw) };
  yield { kind: 'artefact', path: CHANGES, source, content: running.changes };
  yield { kind: 'artefact', path: `${FOLDER}/engine.json`, source, content: once(await running.engine) };
  let logs: Promise<void> | undefined;
  for (const name of TABLES) {
    if (name === 'stats') {
      // asked for while the engine takes the second sample of its statistics
      const archive = logArchive(session, await running.inspected, source);
      logs = archive.ended;
      yield archive.artefact;
    }
    const table = await running.tables[name];
    const path = `${FOLDER}/${name}.jsonl`;
    yield { kind: 'artefact', path, source, content: table.content(), truncated: () => table.truncated() };
    const gap = table.gap(path);
    if (gap !== undefined) yield gap;
  }
  await Promise.all([logs, running.ended]);
  yield* session.gaps;
}

interface Running {
  readonly engine: Promise<Uint8Array>;
  readonly tables: Readonly<Record<(typeof TABLES)[number], Promise<Table>>>;
  readonly changes: AsyncIterable<Uint8Array>;
  readonly inspected: Promise<readonly Inspected[]>;
  readonly ended: Promise<unknown>;
}

/** Everything but the logs, at once; the archive of raw answers ends with the last of it. */
function start(session: Session): Running {
  const events = captureEvents(session);
  const imageList = listImages(session);
  const { inspected, changes, changed, ...containers } = captureContainers(session, { images: imageList, events });
  const tables = {
    ...containers,
    events,
    images: captureImages(session, imageList),
    networks: captureNetworks(session),
    volumes: captureVolumes(session),
  };
  const engine = captureEngine(session);
  const ended = Promise.allSettled([engine, inspected, changed, ...Object.values(tables)]).then(() =>
    session.raw.end(),
  );
  return { engine, tables, changes, inspected, ended };
}

function logArchive(
  session: Session,
  containers: readonly Inspected[],
  source: string,
): { readonly artefact: Artefact; readonly ended: Promise<void> } {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  session.context.signal.addEventListener('abort', () => resolve(), { once: true });
  async function* content(): AsyncGenerator<Uint8Array> {
    try {
      yield* tarArchive(logMembers(session, containers));
    } finally {
      resolve();
    }
  }
  return { artefact: { kind: 'artefact', path: `${FOLDER}/logs.tar.zst`, source, content: content() }, ended };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
