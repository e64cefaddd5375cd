// What survives a restart and starts again by itself: schedules, units, hooks, keys, accounts, static pods.
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import { jsonLines } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import { archiveOf, Table } from './files/archive.ts';
import { listAll } from './files/list.ts';
import { GROUPS } from './persistence/groups.ts';

const ARCHIVE = '60-file/persistence.tar.zst';
const TABLE = '60-file/persistence.jsonl';
const MAX_BYTES = 1024 ** 3;

export const persistence: Collector<NodeContext> = Object.freeze({
  name: 'persistence',
  description: 'Cron, systemd, rc, shell start-up, PAM, sudo, accounts, ssh, static pods, CNI, engines, udev, hooks',
  phase: 'bulk',
  volatility: 65,
  artefacts: [ARCHIVE, TABLE],
  needs: [{ kind: 'capability', name: 'CAP_DAC_READ_SEARCH', without: "other users' files, shadow and sudoers" }],
  limits: { bytes: MAX_BYTES + 256 * 1024 ** 2, seconds: 180 },
  collect,
} satisfies Collector<NodeContext>);

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  const { root, found } = await listAll(context, GROUPS);
  if (found.length === 0) {
    yield gap('absent', ARCHIVE, 'none of the files it is made of');
    return;
  }
  const table = new Table(1);
  const source = 'places that start programs or let somebody in';
  const content = archiveOf({ context, root, found, bytes: MAX_BYTES, table, archive: ARCHIVE });
  yield { kind: 'artefact', path: ARCHIVE, source, content };
  yield { kind: 'artefact', path: TABLE, source, content: jsonLines(table.rows) };
  await table.rows.drained;
}
