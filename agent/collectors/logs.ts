// What was written down while it happened: journals, logs of the system, engines, sensors and pods, users' histories.
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import { jsonLines } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import type { Root } from '../host/pin.ts';
import { archiveOf, Table } from './files/archive.ts';
import type { FileGroup, Found } from './files/find.ts';
import { listAll } from './files/list.ts';
import { HISTORIES, HOST_LOGS, JOURNALS, podLogs } from './logs/groups.ts';
import { namedPlaces } from './logs/named.ts';
import { fairShares } from './logs/shares.ts';

const GIB = 1024 ** 3;
const FILES = '70-log/files.jsonl';
const HISTORY = '70-log/history.tar.zst';

/** Bytes of content of each archive: journald keeps 4 GiB, a kubelet five files of 10 MiB for each of 110 pods. */
const ARCHIVES = [
  { path: '70-log/host.tar.zst', bytes: 4 * GIB, source: '/var/log and where programs were told to log' },
  { path: '70-log/journal.tar.zst', bytes: 6 * GIB, source: '/var/log/journal, /run/log/journal' },
  { path: '70-log/pods.tar.zst', bytes: 6 * GIB, source: '/var/log/pods, /var/log/containers' },
  { path: HISTORY, bytes: GIB / 4, source: "users' home directories" },
] as const;

export const logs: Collector<NodeContext> = Object.freeze({
  name: 'logs',
  description: 'Journal files, logs of system, sensors, engines, kubelet, API server and pods, shell histories',
  phase: 'bulk',
  volatility: 70,
  artefacts: [FILES, ...ARCHIVES.map(({ path }) => path)],
  needs: [{ kind: 'capability', name: 'CAP_DAC_READ_SEARCH', without: 'logs and homes of others' }],
  limits: { bytes: ARCHIVES.reduce((sum, { bytes }) => sum + bytes, GIB), seconds: 900 },
  collect,
} satisfies Collector<NodeContext>);

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  const { groups, podFolders } = await namedPlaces(context);
  const lists: readonly (readonly FileGroup[])[] = [
    [...HOST_LOGS, ...groups],
    JOURNALS,
    podLogs(podFolders),
    HISTORIES,
  ];
  const planned: { archive: (typeof ARCHIVES)[number]; root: Root; found: readonly Found[] }[] = [];
  for (const [index, archive] of ARCHIVES.entries()) {
    const { root, found } = await listAll(context, lists[index] ?? []);
    const newest = newestFirst(found.filter((item) => isLog(item, context)));
    // of what users own no time and no size may push out what others own
    const logs = archive.path === HISTORY ? fairShares(newest, archive.bytes) : newest;
    if (logs.length > 0) planned.push({ archive, root, found: logs });
    else yield gap('absent', archive.path, 'none of the files it is made of');
  }
  if (planned.length === 0) return;
  const table = new Table(planned.length);
  // first, since it is read while the archives are, and the engine reads no more than four at once
  yield { kind: 'artefact', path: FILES, source: 'the archives beside it', content: jsonLines(table.rows) };
  for (const { archive, root, found } of planned) {
    const { path, source, bytes } = archive;
    const content = archiveOf({ context, root, found, bytes, table, archive: path });
    yield { kind: 'artefact', path, source, content };
  }
  await table.rows.drained;
}

/** A FIFO in a log's place would be an empty member that looks like a log. */
function isLog({ kind, path }: Found, context: NodeContext): boolean {
  if (kind === 'file' || kind === 'directory' || kind === 'symlink') return true;
  context.gap(gap('skipped', `/${path.toString('utf8')}`, `no file, but a ${kind} in a log's place`));
  return false;
}

/** Where the archive's bytes do not suffice, what is oldest is left. Links and folders cost nothing and come first. */
function newestFirst(found: readonly Found[]): readonly Found[] {
  const rank = ({ kind }: Found): number => (kind === 'file' ? 1 : 0);
  return found.toSorted((a, b) => rank(a) - rank(b) || (a.mtime === b.mtime ? 0 : a.mtime > b.mtime ? -1 : 1));
}
