// What a responder wants to know within seconds, seen in the tables while they are stored.
/** The first of each kind; `count` says how many there are. */
const SHOWN = 40;
/** Characters of one row; a process may have an environment of megabytes. */
const MAX_ROW = 16 * 1024 * 1024;

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

export interface Triage {
  /** Takes a table's bytes as they come; undefined for what nothing is looked for in. */
  readonly look: (path: string) => ((chunk: Uint8Array) => void) | undefined;
  /** Of all that was shown so far. */
  readonly standsOut: () => StandingOut;
}

export function triage(): Triage {
  const counts: Record<string, number> = {};
  const sightings: Sighting[] = [];
  const note = (sighting: Sighting): void => {
    const count = (counts[sighting.what] ?? 0) + 1;
    counts[sighting.what] = count;
    if (count <= SHOWN) sightings.push(sighting);
  };
  return {
    look(path) {
      const sightingsOf = TABLES[path];
      return sightingsOf === undefined ? undefined : eachRow((row) => sightingsOf(row).forEach(note));
    },
    standsOut: () => ({ sightings: sightings.toSorted((a, b) => rankOf(a) - rankOf(b)), counts }),
  };
}

const KINDS = [
  'hidden process',
  'memfd executable',
  'deleted executable',
  'packet socket',
  'listener',
  'container unknown to its engine',
  'privileged container',
];

/** The tables come in no particular order. */
function rankOf({ what }: Sighting): number {
  return KINDS.indexOf(what);
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

/** Rows of a table that comes in pieces; the last line of one that was cut off is none. */
function eachRow(work: (row: Row) => void): (chunk: Uint8Array) => void {
  const decoder = new TextDecoder();
  let pending = '';
  return (chunk) => {
    const lines = (pending + decoder.decode(chunk, { stream: true })).split('\n');
    pending = lines.pop() ?? '';
    if (pending.length > MAX_ROW) pending = '';
    for (const line of lines) {
      const row = parsed(line);
      if (row !== undefined) work(row);
    }
  };
}

function parsed(line: string): Row | undefined {
  try {
    return JSON.parse(line) as Row;
  } catch {
    return undefined; // the rest of a row that was too long to be held
  }
}
