// Every process of the node: a row each, the raw files behind it, its executable's digest, and those that hide.
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import { Channel, describeError, jsonLines, type Member, tarArchive } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import type { ProcessRecord } from '../host/walk.ts';
import { executableRows } from './processes/executables.ts';
import { hiddenRows } from './processes/hidden.ts';
import { processRow } from './processes/row.ts';
import { type Surroundings, surroundings } from './processes/surroundings.ts';

export const processes: Collector<NodeContext> = Object.freeze({
  name: 'processes',
  description: 'Processes with threads, arguments, environment, ids, namespaces, descriptors, containers; hidden ones',
  phase: 'volatile',
  volatility: 10,
  artefacts: [
    '10-process/processes.jsonl',
    '10-process/proc.tar.zst',
    '10-process/hidden.jsonl',
    '10-process/executables.jsonl',
  ],
  needs: [
    { kind: 'path', name: '/proc', without: 'everything: it must be the host PID namespace' },
    { kind: 'capability', name: 'CAP_SYS_PTRACE', without: 'environment, descriptors, maps and executables of others' },
    { kind: 'capability', name: 'CAP_DAC_READ_SEARCH', without: 'executables that only their owner may read' },
  ],
  limits: { bytes: 4 * 1024 ** 3, seconds: 60 },
  collect,
} satisfies Collector<NodeContext>);

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  const members = new Channel<readonly Member[]>(8);
  const rows = new Channel<Record<string, unknown>>(64);
  const around = surroundings(context.host);
  const source = context.host.proc;
  void feed(context, around, members, rows);
  yield { kind: 'artefact', path: '10-process/proc.tar.zst', source, content: tarArchive(flat(members)) };
  yield { kind: 'artefact', path: '10-process/processes.jsonl', source, content: jsonLines(rows) };
  const hidden = hiddenRows(context, around, rows.drained);
  yield { kind: 'artefact', path: '10-process/hidden.jsonl', source, content: jsonLines(hidden.rows) };
  const executables = executableRows(context, rows.drained);
  yield { kind: 'artefact', path: '10-process/executables.jsonl', source, content: jsonLines(executables.rows) };
  await context.walk.index();
  await executables.ended;
  // trying every number takes a core for seconds: disks and logs are read meanwhile
  context.release();
  await hidden.ended;
}

/** One walk feeds the archive and the table, each at the pace of the slower. */
async function feed(
  context: NodeContext,
  around: Surroundings,
  members: Channel<readonly Member[]>,
  rows: Channel<Record<string, unknown>>,
): Promise<void> {
  try {
    for await (const record of context.walk.records()) {
      const taken = await Promise.all([members.push(membersOf(record)), rows.push(rowOf(context, record, around))]);
      if (!taken.includes(true)) return;
    }
    members.end();
    rows.end();
  } catch (error) {
    members.end(new Error(describeError(error)));
    rows.end(new Error(describeError(error)));
  }
}

/** One process that cannot be made a row of takes no other with it, nor its raw files. */
function rowOf(context: NodeContext, record: ProcessRecord, around: Surroundings): Record<string, unknown> {
  try {
    return processRow(record, around);
  } catch (error) {
    const { pid, comm } = record.summary;
    context.gap(gap('failed', `pid ${pid}: its row`, `${describeError(error)}; its raw files are in proc.tar.zst`));
    return { process: { pid, name: comm } };
  }
}

/** Raw files as they were read; all links in one member, `NAME\0TARGET\0` each, since a symlink of its own for each would be most of the archive. */
function membersOf({ summary, files }: ProcessRecord): readonly Member[] {
  const members: Member[] = [];
  const links: Uint8Array[] = [];
  for (const { name, kind, bytes, left } of files) {
    if (kind === 'link') links.push(Buffer.from(`${name}\0`), bytes, NUL);
    else if (left === 0) members.push({ name: `${summary.pid}/${name}`, content: bytes });
    else members.push({ name: `${summary.pid}/${name}`, content: bytes, truncated: `${left} bytes left` });
  }
  if (links.length > 0) members.push({ name: `${summary.pid}/links`, content: Buffer.concat(links) });
  return members;
}

const NUL = Buffer.alloc(1);

async function* flat(lists: AsyncIterable<readonly Member[]>): AsyncGenerator<Member> {
  for await (const list of lists) yield* list;
}
