// What a responder wants to know within seconds, read from the tables that were just stored.
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type { Store } from '../../evidence/index.ts';

/** The first of each kind; `count` says how many there are. */
const SHOWN = 40;

export interface Sighting {
  /** "deleted executable", "memfd executable", "hidden process", "listener", "packet socket", "privileged container", … */
  readonly what: string;
  readonly name: string;
  readonly pid?: number;
  readonly where: string;
}

export interface StandingOut {
  readonly sightings: readonly Sighting[];
  /** How many of each kind there are, those beyond the shown ones included. */
  readonly counts: Readonly<Record<string, number>>;
}

type Row = Record<string, unknown>;

export async function standingOut(store: Store): Promise<StandingOut> {
  const counts: Record<string, number> = {};
  const sightings: Sighting[] = [];
  for (const [path, look] of Object.entries(TABLES)) {
    for await (const row of rows(store, path)) {
      for (const sighting of look(row)) {
        const count = (counts[sighting.what] ?? 0) + 1;
        counts[sighting.what] = count;
        if (count <= SHOWN) sightings.push(sighting);
      }
    }
  }
  return { sightings, counts };
}

const TABLES: Readonly<Record<string, (row: Row) => readonly Sighting[]>> = {
  'data/10-process/hidden.jsonl': processSightings,
  'data/10-process/processes.jsonl': processSightings,
  'data/20-network/sockets.jsonl': socketSightings,
  'data/30-container/docker/containers.jsonl': containerSightings,
};

function processSightings(row: Row): readonly Sighting[] {
  const name = text(at(row, 'process', 'name'));
  const pid = at(row, 'process', 'pid');
  const where = text(at(row, 'process', 'executable'));
  const flags = ['hidden', 'memfd', 'deleted'].filter((flag) => at(row, 'impound', flag) === true);
  return flags.map((flag) => ({
    what: flag === 'hidden' ? 'hidden process' : `${flag} executable`,
    name,
    where,
    ...(typeof pid === 'number' ? { pid } : {}),
  }));
}

function socketSightings(row: Row): readonly Sighting[] {
  const transport = text(at(row, 'network', 'transport'));
  const pid = at(row, 'process', 'pid');
  const owner = { name: text(at(row, 'process', 'name')) || '?', ...(typeof pid === 'number' ? { pid } : {}) };
  if (transport === 'packet') return [{ what: 'packet socket', ...owner, where: 'sees the traffic of its interface' }];
  const listening = at(row, 'impound', 'listening') === true && (transport === 'tcp' || transport === 'udp');
  if (!listening) return [];
  const namespace = at(row, 'impound', 'netnsIsHost') === false ? `  (netns ${text(at(row, 'impound', 'netns'))})` : '';
  const address = `${text(at(row, 'source', 'ip'))} port ${text(at(row, 'source', 'port'))}`;
  return [{ what: 'listener', ...owner, where: `${transport} ${address}${namespace}` }];
}

function containerSightings(row: Row): readonly Sighting[] {
  const name = text(at(row, 'container', 'name')) || text(at(row, 'container', 'id')).slice(0, 12);
  if (at(row, 'impound', 'listing') === 'unlisted') {
    return [{ what: 'container unknown to its engine', name, where: 'processes of the node are in it' }];
  }
  if (at(row, 'container', 'security_context', 'privileged') !== true) return [];
  return [{ what: 'privileged container', name, where: text(at(row, 'container', 'image', 'name')) }];
}

function at(row: Row, ...names: string[]): unknown {
  let value: unknown = row;
  for (const name of names) {
    value = typeof value === 'object' && value !== null ? (value as Row)[name] : undefined;
  }
  return value;
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

/** Rows of a table; none where its collector did not run or ended before it. */
async function* rows(store: Store, path: string): AsyncGenerator<Row> {
  if ((await store.size(path)) === undefined) return;
  const lines = createInterface({ input: Readable.from(store.read(path)), crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) {
    try {
      yield JSON.parse(line) as Row;
    } catch {
      // the last line of a table that was cut off
    }
  }
}
