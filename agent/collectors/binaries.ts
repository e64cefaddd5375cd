// Programs and files that are nowhere but in a process: deleted, in memory, in temporary folders, added to a container.
import { closeSync } from 'node:fs';
import { pid as ownPid } from 'node:process';
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import { Channel, describeError, jsonLines, type Member, tarArchive } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import { gapOf } from '../host/errno.ts';
import { fileFields, memberFields } from '../host/file-fields.ts';
import { type OpenFile, openMagicLink } from '../host/open.ts';
import { readKernelText, streamFile } from '../host/read.ts';
import { parseStat } from '../host/walk/stat.ts';
import type { HeldFile, ProcessSummary } from '../host/walk.ts';
import { upperDirectory } from './binaries/upper.ts';

/** Of a program or library; of any other open file that was deleted. */
const MAX_PROGRAM_BYTES = 1024 ** 3;
const MAX_OTHER_BYTES = 64 * 1024 ** 2;

export const binaries: Collector<NodeContext> = Object.freeze({
  name: 'binaries',
  description: 'Deleted, memfd, temporary and added programs and libraries; other deleted files still open',
  phase: 'volatile',
  volatility: 40,
  artefacts: ['10-process/binaries.tar.zst', '10-process/binaries.jsonl'],
  needs: [
    { kind: 'capability', name: 'CAP_SYS_PTRACE', without: 'executables and open files of others' },
    {
      kind: 'capability',
      name: 'CAP_SYS_ADMIN',
      without: 'mapped libraries (map_files; CAP_CHECKPOINT_RESTORE will do)',
    },
  ],
  limits: { bytes: 8 * 1024 ** 3, seconds: 120 },
  collect,
} satisfies Collector<NodeContext>);

/** A file to be recovered, and everybody who holds it. */
interface Found {
  readonly file: OpenFile;
  readonly process: ProcessSummary;
  readonly held: HeldFile;
  readonly why: string;
  readonly pids: Set<number>;
}

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  const rows = new Channel<Record<string, unknown>>(16);
  const source = '/proc/PID/{exe,map_files,fd}';
  yield { kind: 'artefact', path: '10-process/binaries.tar.zst', source, content: archive(context, rows) };
  yield { kind: 'artefact', path: '10-process/binaries.jsonl', source, content: jsonLines(rows) };
  await rows.drained;
}

async function* archive(context: NodeContext, rows: Channel<Record<string, unknown>>): AsyncGenerator<Uint8Array> {
  try {
    yield* tarArchive(members(context, rows));
  } catch (error) {
    rows.end(new Error(describeError(error)));
    throw error;
  } finally {
    rows.end();
  }
}

async function* members(context: NodeContext, rows: Channel<Record<string, unknown>>): AsyncGenerator<Member> {
  const waiting = [...(await findDistinct(context))];
  try {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) yield memberOf(item, rows, context);
  } finally {
    // where the archive is cut short, nobody else closes them
    for (const { file } of waiting) closeSync(file.fd);
  }
}

function memberOf(
  { file, process, held, why, pids }: Found,
  rows: Channel<Record<string, unknown>>,
  context: NodeContext,
): Member {
  const bound = held.executable ? MAX_PROGRAM_BYTES : MAX_OTHER_BYTES;
  const all = Number(file.stats.size);
  const size = Math.min(all, bound);
  const name = `${process.pid}-${process.startTicks}/${held.via}`;
  const truncated = size < all ? `${all - size} bytes left` : undefined;
  if (truncated !== undefined) context.gap(gap('truncated', `${name}: ${truncated}`, `larger than ${bound} bytes`));
  return {
    name,
    ...memberFields(file.stats),
    content: { size, bytes: streamFile(file, size) },
    ...(truncated === undefined ? {} : { truncated }),
    recorded: ({ path, sha256 }) =>
      rows.push({
        file: {
          path: held.target.replace(/ \(deleted\)$/, ''),
          ...fileFields(file.stats),
          device: String(file.stats.dev),
          hash: truncated === undefined ? { sha256 } : undefined,
        },
        process: { pid: process.pid, name: process.comm, executable: process.exe },
        ...(process.container?.containerId === undefined ? {} : { container: { id: process.container.containerId } }),
        impound: {
          why,
          executable: held.executable,
          target: held.target,
          member: path,
          pids: [...pids],
          startTicks: process.startTicks,
        },
      }),
  };
}

/** Each file once, whoever holds it; opened at once, since it may be gone a moment later. */
async function findDistinct(context: NodeContext): Promise<readonly Found[]> {
  const found = new Map<string, Found>();
  const upper = upperDirectory(context.host);
  for (const process of await context.walk.index()) {
    for (const held of process.held ?? []) {
      const why = held.why === 'container' ? upper(process, held) : held.why;
      if (why === undefined) continue;
      if (process.pid === ownPid && why === 'temporary') {
        context.footprint({
          kind: 'note',
          name: held.target,
          detail: 'our own program in a temporary folder: not recovered',
        });
        continue;
      }
      const name = `pid ${process.pid} ${held.via}`;
      try {
        const file = openHeld(context, process, held);
        if (file === undefined) continue;
        const key = `${file.stats.dev} ${file.stats.ino}`;
        const known = found.get(key);
        known?.pids.add(process.pid);
        if (known !== undefined || found.size >= MAX_FILES) {
          closeSync(file.fd);
          if (known === undefined) context.gap(gap('truncated', name, `more than ${MAX_FILES} files to recover`));
        } else {
          found.set(key, { file, process, held, why, pids: new Set([process.pid]) });
        }
      } catch (error) {
        context.gap(gapOf(error, name));
      }
    }
  }
  return [...found.values()];
}

/** Descriptors held open at once; the usual limit of a process is 1,024 or more. */
const MAX_FILES = 500;

/** Undefined for what is no regular file. Throws ESRCH where the PID is another process's by now. */
function openHeld(context: NodeContext, process: ProcessSummary, held: HeldFile): OpenFile | undefined {
  const folder = `${context.host.proc}/${process.pid}`;
  const file = openMagicLink(folder, held.via);
  if (file === undefined) return undefined;
  if (parseStat(readKernelText(`${folder}/stat`))?.startTicks === process.startTicks) return file;
  closeSync(file.fd);
  throw Object.assign(new Error('another process has this PID now'), { code: 'ESRCH' });
}
