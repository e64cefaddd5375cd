// What a responder wants to know within seconds, seen in the tables while they are stored, or read.
import type { Suspect } from '../../agent/index.ts';

/** The first of each kind are kept; `counts` says how many there are. */
const KEPT = 1000;
/** Containers of suspects that are remembered. */
const MAX_CONTAINERS = 1000;
/** Characters of one row; a process may have an environment of megabytes. */
const MAX_ROW = 16 * 1024 * 1024;

export interface Sighting {
  /** "deleted executable", "memfd executable", "hidden process", "listener", "packet socket", "privileged container", … */
  readonly what: string;
  readonly name: string;
  readonly pid?: number;
  readonly where: string;
  /** Of whom the capture was asked to take first. */
  readonly suspect: boolean;
}

export interface StandingOut {
  readonly sightings: readonly Sighting[];
  /** How many of each kind there are, those beyond the shown ones included. */
  readonly counts: Readonly<Record<string, number>>;
}

type Row = Record<string, unknown>;

/** What a row tells of, before it is known whose it is: the tables come in no particular order. */
interface Noted extends Omit<Sighting, 'suspect'> {
  readonly container?: string;
  readonly podUid?: string;
}

export interface Triage {
  /** Takes a table's bytes as they come; undefined for what nothing is looked for in. */
  readonly look: (path: string) => ((chunk: Uint8Array) => void) | undefined;
  /** Of all that was shown so far. */
  readonly standsOut: () => StandingOut;
}

export function triage(suspects: readonly Suspect[]): Triage {
  const counts: Record<string, number> = {};
  const noted: Noted[] = [];
  const suspected = suspicion(suspects);
  const note = (one: Noted): void => {
    const count = (counts[one.what] ?? 0) + 1;
    counts[one.what] = count;
    if (count <= KEPT) noted.push(one);
  };
  return {
    look(path) {
      const sightingsOf = TABLES[path];
      if (sightingsOf === undefined) return undefined;
      return eachRow((row) => {
        suspected.learn(row);
        for (const one of sightingsOf(row)) note({ ...one, ...ownersOf(row) });
      });
    },
    standsOut() {
      const sightings = noted.map(({ container, podUid, ...rest }) => ({
        ...rest,
        suspect: suspected.is({ ...rest, container, podUid }),
      }));
      return { sightings: sightings.toSorted((a, b) => rankOf(a) - rankOf(b)), counts };
    },
  };
}

interface Suspicion {
  /** A row of an engine's table may say which containers a suspect has. */
  learn(row: Row): void;
  is(
    sighting: Pick<Noted, 'pid'> & { readonly container: string | undefined; readonly podUid: string | undefined },
  ): boolean;
}

function suspicion(suspects: readonly Suspect[]): Suspicion {
  const pods = suspects.flatMap((one) => (one.kind === 'pod' ? `${one.namespace}/${one.name}` : []));
  const containers = suspects.flatMap((one) => (one.kind === 'container' ? one.id : []));
  const pids = suspects.flatMap((one) => (one.kind === 'pid' ? one.pid : []));
  const ids = new Set<string>();
  const uids = new Set<string>();
  const isNamed = (id: string, name: string): boolean =>
    containers.some((given) => given === name || (given.length >= 8 && id.startsWith(given)));
  return {
    learn(row) {
      const id = text(at(row, 'container', 'id'));
      const pod = `${text(at(row, 'orchestrator', 'namespace'))}/${text(at(row, 'orchestrator', 'resource', 'name'))}`;
      const ofPod = pods.includes(pod);
      const uid = text(at(row, 'orchestrator', 'resource', 'id'));
      if (ofPod && uid !== '' && uids.size < MAX_CONTAINERS) uids.add(uid);
      if (id === '' || ids.size >= MAX_CONTAINERS) return;
      if (ofPod || isNamed(id, text(at(row, 'container', 'name')))) ids.add(id);
    },
    is: ({ pid, container, podUid }) =>
      (pid !== undefined && pids.includes(pid)) ||
      (container !== undefined && ids.has(container)) ||
      (podUid !== undefined && uids.has(podUid)),
  };
}

function ownersOf(row: Row): Pick<Noted, 'container' | 'podUid'> {
  const container = text(at(row, 'container', 'id'));
  const podUid = text(at(row, 'orchestrator', 'resource', 'id'));
  return { ...(container === '' ? {} : { container }), ...(podUid === '' ? {} : { podUid }) };
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

function rankOf({ what, suspect }: Sighting): number {
  return KINDS.indexOf(what) - (suspect ? KINDS.length : 0);
}

const TABLES: Readonly<Record<string, (row: Row) => readonly Noted[]>> = {
  'data/10-process/hidden.jsonl': processSightings,
  'data/10-process/processes.jsonl': processSightings,
  'data/20-network/sockets.jsonl': socketSightings,
  'data/30-container/docker/containers.jsonl': containerSightings,
  'data/30-container/cri/containers.jsonl': containerSightings,
};

/** Paths of the tables that are looked at. */
export const TRIAGED: readonly string[] = Object.keys(TABLES);

function processSightings(row: Row): readonly Noted[] {
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

function socketSightings(row: Row): readonly Noted[] {
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

function containerSightings(row: Row): readonly Noted[] {
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
