// Every container of the engine: inspected first, its processes and statistics beside, its changed files behind.
import { Channel, forEachBounded, gate, jsonLines } from '../../../evidence/index.ts';
import type { FootprintItem } from '../../context.ts';
import { at, listAt, textAt } from '../../runtime/json.ts';
import { type ContainerName, containerName, containerRow, unlistedRow } from './container-row.ts';
import { fromList, suspectsFirst } from './listed.ts';
import { type Occupants, processesByContainer } from './processes.ts';
import { changeRow, digestsOf, statsRow, topRows } from './rows.ts';
import { archived, ask, parsed, type Session } from './session.ts';
import { Table } from './table.ts';

/** A container as the log archive needs it. */
export interface Inspected extends ContainerName {
  readonly tty: boolean;
}

export interface ContainerTables {
  readonly containers: Promise<Table>;
  readonly top: Promise<Table>;
  readonly stats: Promise<Table>;
  /** Rows as they come, in pieces: a container may have changed a hundred thousand files. */
  readonly changes: Channel<Uint8Array>;
  /** When the last of them is in. */
  readonly changed: Promise<void>;
  /** Suspects first, without those that vanished. */
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
/** Each waits some two seconds in the engine without work. */
const STATS_AT_ONCE = 64;
/** The engine walks a writable layer for each, and an answer may be 8 MiB. */
const CHANGES_AT_ONCE = 4;
const PIECES_WAITING = 8;
const PS: FootprintItem = {
  kind: 'program',
  name: 'ps',
  detail:
    'run on the node by the Docker engine, once for each running container, which also writes an event "top" each',
};

/** `inspect` is the inspection, or where there is none what the list says. */
interface Found {
  readonly container: ContainerName;
  readonly inspect: unknown;
  readonly state: 'inspected' | 'listed' | 'vanished';
}

interface Tables {
  readonly top: Table;
  readonly stats: Table;
  readonly changes: Channel<Uint8Array>;
}

interface FollowUps {
  readonly top: Promise<void>[];
  readonly stats: Promise<void>[];
  readonly changes: Promise<void>[];
}

export function captureContainers(session: Session, surroundings: Surroundings): ContainerTables {
  const processes = processesByContainer(session);
  const tables: Tables = { top: new Table(), stats: new Table(), changes: new Channel(PIECES_WAITING) };
  session.context.signal.addEventListener('abort', () => tables.changes.end(), { once: true });
  const followUps: FollowUps = { top: [], stats: [], changes: [] };
  const inspecting = inspectAll(session, follower(session, surroundings, tables, followUps));
  const whole = async <Name extends keyof FollowUps>(name: Name): Promise<Tables[Name]> => {
    await inspecting;
    await Promise.all(followUps[name]);
    return tables[name];
  };
  const changed = whole('changes').then(
    (changes) => changes.end(),
    (error: unknown) => tables.changes.end(error),
  );
  return {
    containers: containerTable(inspecting, surroundings, processes),
    top: whole('top'),
    stats: whole('stats'),
    changes: tables.changes,
    changed,
    inspected: inspecting.then((found) => found.filter(({ state }) => state !== 'vanished').map(forLogs)),
  };
}

/** In the list's order with suspects first; each is followed up as soon as it is inspected. */
async function inspectAll(session: Session, follow: (found: Found) => void): Promise<readonly Found[]> {
  const { engine, signal, context } = session;
  const list = await ask(session, 'containers.json', 'containers', () => engine.containers(signal));
  const ordered = suspectsFirst(listAt(list), context.suspects);
  const found: Found[] = [];
  await forEachBounded(ordered.entries(), INSPECTS_AT_ONCE, async ([index, entry]) => {
    found[index] = await inspectOne(session, textAt(entry, 'Id') ?? '', entry);
    if (found[index].state !== 'vanished') follow(found[index]);
  });
  return found;
}

async function inspectOne(session: Session, id: string, entry: unknown): Promise<Found> {
  const { engine, signal } = session;
  const name = `container ${id} inspect`;
  const answer = await archived(session, `containers/${id}/inspect.json`, name, () => engine.inspect(id, signal));
  const inspect = answer.kind === 'answer' ? parsed(session, name, answer) : undefined;
  if (inspect !== undefined) return { container: containerName(id, inspect), inspect, state: 'inspected' };
  const listed = fromList(entry);
  const gone = answer.kind === 'gap' && answer.reason === 'vanished';
  return { container: containerName(id, listed), inspect: listed, state: gone ? 'vanished' : 'listed' };
}

function follower(
  session: Session,
  surroundings: Surroundings,
  tables: Tables,
  followUps: FollowUps,
): (found: Found) => void {
  const { engine, signal } = session;
  const gates = { top: gate(INSPECTS_AT_ONCE), stats: gate(STATS_AT_ONCE), changes: gate(CHANGES_AT_ONCE) };
  let noted = false;
  return ({ container, inspect }) => {
    const { id } = container;
    const asked = (what: keyof FollowUps): Promise<unknown> => {
      const member = `containers/${id}/${what}.json`;
      return gates[what](() => ask(session, member, `container ${id} ${what}`, () => engine[what](id, signal)));
    };
    const top = async (): Promise<void> => {
      await surroundings.events;
      for (const row of topRows(container, await asked('top'))) tables.top.push(row);
    };
    const stats = async (): Promise<void> => {
      const value = await asked('stats');
      if (value !== undefined) tables.stats.push(statsRow(container, value));
    };
    const changes = async (): Promise<void> => {
      const rows = listAt(await asked('changes'))
        .values()
        .map((change) => changeRow(container, change));
      for await (const piece of jsonLines(rows)) if (!(await tables.changes.push(piece))) return;
    };
    followUps.changes.push(changes());
    if (!isRunning(inspect)) return;
    if (!noted) session.context.footprint(PS);
    noted = true;
    followUps.top.push(top());
    followUps.stats.push(stats());
  };
}

async function containerTable(
  inspecting: Promise<readonly Found[]>,
  surroundings: Surroundings,
  occupants: Promise<ReadonlyMap<string, Occupants> | undefined>,
): Promise<Table> {
  const [found, images, byContainer] = await Promise.all([inspecting, surroundings.images, occupants]);
  const digests = new Map(listAt(images).map((image) => [textAt(image, 'Id') ?? '', digestsOf(image)]));
  const table = new Table();
  for (const { container, inspect, state } of found) {
    const own = byContainer === undefined ? undefined : (byContainer.get(container.id)?.processes ?? []);
    table.push(containerRow(container, inspect, { state, digests, processes: own }));
  }
  const listed = new Set(found.map(({ container }) => container.id));
  for (const [id, own] of byContainer ?? []) if (own.docker && !listed.has(id)) table.push(unlistedRow(id, own));
  return table;
}

function forLogs({ container, inspect }: Found): Inspected {
  return { ...container, tty: at(inspect, 'Config', 'Tty') === true };
}

function isRunning(inspect: unknown): boolean {
  const status = textAt(inspect, 'State', 'Status');
  return at(inspect, 'State', 'Running') === true || status === 'running' || status === 'paused';
}
