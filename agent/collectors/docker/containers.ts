// Every container of the engine: inspected first, its processes and statistics beside, its changed files behind.
import { gap } from '../../../capture/index.ts';
import { describeError, forEachBounded } from '../../../evidence/index.ts';
import type { FootprintItem, Suspect } from '../../context.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import { type ContainerName, containerName, containerRow, unlistedRow } from './container-row.ts';
import { at, listAt, numberAt, textAt, textsAt } from './json.ts';
import { changeRow, digestsOf, statsRow, topRows } from './rows.ts';
import { ask, gate, type Session } from './session.ts';
import { Table } from './table.ts';

/** A container as the log archive needs it. */
export interface Inspected extends ContainerName {
  readonly tty: boolean;
}

export interface ContainerTables {
  readonly containers: Promise<Table>;
  readonly top: Promise<Table>;
  readonly stats: Promise<Table>;
  readonly changes: Promise<Table>;
  /** Suspects first. */
  readonly inspected: Promise<readonly Inspected[]>;
}

/** What is asked beside the containers themselves. */
export interface Surroundings {
  /** The images' list, for their digests. */
  readonly images: Promise<unknown>;
  /** Asking for processes writes an event, and the engine remembers 256 of them: they are read before. */
  readonly events: Promise<unknown>;
}

const INSPECTS_AT_ONCE = 16;
/** Each waits a second in the engine without work. */
const STATS_AT_ONCE = 64;
/** The engine walks a writable layer for each, and an answer may be 8 MiB. */
const CHANGES_AT_ONCE = 4;
const WALK_MILLISECONDS = 5000;
const PS: FootprintItem = {
  kind: 'program',
  name: 'ps',
  detail:
    'run on the node by the Docker engine, once for each running container, which also writes an event "top" each',
};

interface Followed {
  readonly container: ContainerName;
  readonly inspect: unknown;
}

export function captureContainers(session: Session, surroundings: Surroundings): ContainerTables {
  const processes = processesByContainer(session);
  const followUps: Promise<void>[] = [];
  const tables = { top: new Table(), stats: new Table(), changes: new Table() };
  const follow = follower(session, surroundings, tables, followUps);
  const inspecting = inspectAll(session, follow);
  const settled = inspecting.then(() => Promise.all(followUps));
  return {
    containers: rowsOf(inspecting, surroundings, processes),
    top: settled.then(() => tables.top),
    stats: settled.then(() => tables.stats),
    changes: settled.then(() => tables.changes),
    inspected: inspecting.then((found) =>
      found.map(({ container, inspect }) => ({ ...container, tty: at(inspect, 'Config', 'Tty') === true })),
    ),
  };
}

/** In the list's order with suspects first; those that vanished are left out. */
async function inspectAll(session: Session, follow: (found: Followed) => void): Promise<readonly Followed[]> {
  const { engine, signal } = session;
  const list = await ask(session, 'containers.json', 'containers', () => engine.containers(signal));
  const listed = listAt(list).filter((entry) => textAt(entry, 'Id') !== undefined);
  const ordered = [...listed].sort((a, b) => rank(b, session.context.suspects) - rank(a, session.context.suspects));
  const found = new Map<number, Followed>();
  await forEachBounded(ordered.entries(), INSPECTS_AT_ONCE, async ([index, entry]) => {
    const id = textAt(entry, 'Id') ?? '';
    const before = session.gaps.length;
    const inspect = await ask(session, `containers/${id}/inspect.json`, `container ${id} inspect`, () =>
      engine.inspect(id, signal),
    );
    const vanished =
      inspect === undefined &&
      session.gaps.slice(before).some((one) => one.reason === 'vanished' && one.name.includes(id));
    if (vanished) return;
    const known = inspect ?? fromList(entry);
    const followed = { container: containerName(id, known), inspect: known };
    found.set(index, followed);
    follow(followed);
  });
  return [...found.entries()].sort(([a], [b]) => a - b).map(([, followed]) => followed);
}

function follower(
  session: Session,
  surroundings: Surroundings,
  tables: Record<'top' | 'stats' | 'changes', Table>,
  followUps: Promise<void>[],
): (found: Followed) => void {
  const { engine, signal } = session;
  const gates = { top: gate(INSPECTS_AT_ONCE), stats: gate(STATS_AT_ONCE), changes: gate(CHANGES_AT_ONCE) };
  let noted = false;
  return ({ container, inspect }) => {
    const { id } = container;
    if (isRunning(inspect) && !noted) {
      noted = true;
      session.context.footprint(PS);
    }
    const asked = (what: 'top' | 'stats' | 'changes'): Promise<unknown> =>
      gates[what](() =>
        ask(session, `containers/${id}/${what}.json`, `container ${id} ${what}`, () => engine[what](id, signal)),
      );
    const top = async (): Promise<void> => {
      await surroundings.events;
      for (const row of topRows(container, await asked('top'))) tables.top.push(row);
    };
    const stats = async (): Promise<void> => {
      const value = await asked('stats');
      if (value !== undefined) tables.stats.push(statsRow(container, value));
    };
    const changes = async (): Promise<void> => {
      for (const change of listAt(await asked('changes'))) tables.changes.push(changeRow(container, change));
    };
    if (isRunning(inspect)) followUps.push(top(), stats());
    followUps.push(changes());
  };
}

async function rowsOf(
  inspecting: Promise<readonly Followed[]>,
  surroundings: Surroundings,
  processes: Promise<ReadonlyMap<string, readonly ProcessSummary[]> | undefined>,
): Promise<Table> {
  const [found, images, byContainer] = await Promise.all([inspecting, surroundings.images, processes]);
  const digests = new Map(listAt(images).map((image) => [textAt(image, 'Id') ?? '', digestsOf(image)]));
  const table = new Table();
  for (const { container, inspect } of found) {
    const own = byContainer === undefined ? undefined : (byContainer.get(container.id) ?? []);
    table.push(containerRow(container, inspect, digests, own));
  }
  const listed = new Set(found.map(({ container }) => container.id));
  for (const [id, own] of byContainer ?? []) if (!listed.has(id)) table.push(unlistedRow(id, own));
  return table;
}

/** Docker's containers as the walk over /proc sees them; undefined, with a gap, where the walk is not done in time. */
async function processesByContainer(
  session: Session,
): Promise<ReadonlyMap<string, readonly ProcessSummary[]> | undefined> {
  const late = AbortSignal.any([session.signal, AbortSignal.timeout(WALK_MILLISECONDS)]);
  const given = new Promise<undefined>((resolve) => {
    late.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  const name = "containers' processes";
  let summaries: readonly ProcessSummary[] | undefined;
  try {
    summaries = await Promise.race([session.context.walk.index(), given]);
  } catch (error) {
    session.gaps.push(gap('failed', name, `the walk over /proc failed: ${describeError(error)}`));
    return undefined;
  }
  if (summaries === undefined) {
    session.gaps.push(gap('timeout', name, 'the walk over /proc was not done in time to join them'));
    return undefined;
  }
  const byContainer = new Map<string, ProcessSummary[]>();
  for (const summary of summaries) {
    const id = summary.container?.runtime === 'docker' ? summary.container.containerId : undefined;
    if (id === undefined) continue;
    const own = byContainer.get(id);
    if (own === undefined) byContainer.set(id, [summary]);
    else own.push(summary);
  }
  return byContainer;
}

function rank(entry: unknown, suspects: readonly Suspect[]): number {
  const id = textAt(entry, 'Id') ?? '';
  const names = textsAt(entry, 'Names');
  const label = (name: string): string | undefined => textAt(entry, 'Labels', `io.kubernetes.pod.${name}`);
  const isSuspect = suspects.some((suspect) => {
    if (suspect.kind === 'container') return id.startsWith(suspect.id) || names.includes(`/${suspect.id}`);
    return suspect.kind === 'pod' && label('name') === suspect.name && label('namespace') === suspect.namespace;
  });
  return isSuspect ? 1 : 0;
}

function isRunning(inspect: unknown): boolean {
  const status = textAt(inspect, 'State', 'Status');
  return at(inspect, 'State', 'Running') === true || status === 'running' || status === 'paused';
}

/** A container that cannot be inspected is still what the list says of it. */
function fromList(entry: unknown): unknown {
  const created = numberAt(entry, 'Created');
  return {
    Name: textsAt(entry, 'Names')[0],
    Created: created === undefined ? undefined : new Date(created * 1000).toISOString(),
    Image: textAt(entry, 'ImageID'),
    State: { Status: textAt(entry, 'State') },
    Config: { Image: textAt(entry, 'Image'), Labels: at(entry, 'Labels') },
    HostConfig: { NetworkMode: textAt(entry, 'HostConfig', 'NetworkMode') },
    NetworkSettings: at(entry, 'NetworkSettings'),
    Mounts: at(entry, 'Mounts'),
  };
}
