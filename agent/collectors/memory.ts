// The memory of suspects, in profile full of all processes in containers, as core files; containers frozen on request.
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import { Channel, jsonLines } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import { type Frozen, freezeContainer } from '../host/freezer.ts';
import type { ProcessSummary } from '../host/walk.ts';
import { type CoreResult, coreContent } from './memory/content.ts';
import { coreMachine } from './memory/core.ts';
import { openMemory } from './memory/reader.ts';
import { memoryRow } from './memory/row.ts';
import { chooseGroups, type Group } from './memory/targets.ts';

/** Stored of one process; a database's may be more. */
const MAX_PROCESS_BYTES = 16 * 1024 ** 3;
/** Kept free of the limit for what stands before a core's memory: headers and the map of its files. */
const HEAD_BYTES = 32 * 1024 ** 2;
/** Threads that hang in a read until the capture ends; then no more memory is read. */
const MAX_LEFT_BEHIND = 8;

export const memory: Collector<NodeContext> = Object.freeze({
  name: 'memory',
  description: "Suspects' memory as core files, in profile full that of all containers",
  phase: 'bulk',
  volatility: 50,
  artefacts: ['40-memory/PID-STARTTICKS.core.zst', '40-memory/processes.jsonl'],
  needs: [
    { kind: 'capability', name: 'CAP_SYS_PTRACE', without: 'the memory of other users and of containers' },
    { kind: 'path', name: '/proc/PID/pagemap', without: 'all memory: which pages there are is not known' },
    { kind: 'path', name: '/sys/fs/cgroup, writable', without: 'freezing: memory is read while it changes' },
  ],
  limits: { bytes: 64 * 1024 ** 3, seconds: 1800 },
  collect,
} satisfies Collector<NodeContext>);

/** What is going on. */
interface Session {
  readonly context: NodeContext;
  readonly machine: number;
  readonly rows: Channel<Record<string, unknown>>;
  readonly stopped: Promise<void>;
  /** Bytes that may still be stored. */
  left: number;
  /** Threads that hang in a read. */
  leftBehind: number;
}

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  const machine = coreMachine(process.arch);
  if (machine === undefined) {
    yield gap('unsupported', 'memory', `cores of ${process.arch} are not known`);
    return;
  }
  const groups = await chooseGroups(context);
  if (groups.length === 0) {
    const detail = 'nobody to be read: name a --suspect, or take profile full for all containers';
    yield gap('absent', 'memory', detail);
    return;
  }
  const rows = new Channel<Record<string, unknown>>(16);
  const stopped = Promise.withResolvers<void>();
  const stop = (): void => stopped.resolve();
  context.signal.addEventListener('abort', stop, { once: true });
  const session: Session = {
    context,
    machine,
    rows,
    stopped: stopped.promise,
    left: context.limits.bytes,
    leftBehind: 0,
  };
  yield { kind: 'artefact', path: '40-memory/processes.jsonl', source: '/proc/PID/smaps', content: jsonLines(rows) };
  try {
    let unread = 0;
    for (const group of groups) {
      if (context.signal.aborted) break;
      unread += yield* readGroup(session, group);
    }
    if (unread > 0) {
      const detail = `${MAX_LEFT_BEHIND} threads hang in reads that do not come back: no more memory is read`;
      yield gap('timeout', `memory of ${unread} processes`, detail);
    }
    rows.end();
    await Promise.race([rows.drained, stopped.promise]);
  } finally {
    rows.end();
    context.signal.removeEventListener('abort', stop);
  }
}

/** Returns how many of its processes were not read since too many threads hang. */
async function* readGroup(session: Session, group: Group): AsyncGenerator<Artefact, number> {
  if (session.leftBehind >= MAX_LEFT_BEHIND) return group.processes.length;
  const frozen = session.context.freeze && group.suspect ? await freeze(session.context, group) : undefined;
  try {
    for (const [index, process] of group.processes.entries()) {
      if (session.context.signal.aborted) return 0;
      if (session.leftBehind >= MAX_LEFT_BEHIND) return group.processes.length - index;
      yield* readProcess(session, process, frozen);
    }
    return 0;
  } finally {
    await frozen?.thaw();
  }
}

async function freeze(context: NodeContext, { containerId, processes }: Group): Promise<Frozen | undefined> {
  const [first] = processes;
  if (first === undefined) return undefined;
  const { host, footprint } = context;
  const result = await freezeContainer({ host, pid: first.pid, containerId, footprint, gap: context.gap });
  if (result.kind === 'frozen') return result;
  const name = containerId === undefined ? `pid ${first.pid}` : `container ${containerId}`;
  context.gap(gap(result.reason, `${name}: not frozen`, result.detail));
  return undefined;
}

async function* readProcess(
  session: Session,
  process: ProcessSummary,
  frozen: Frozen | undefined,
): AsyncGenerator<Artefact> {
  const { context, rows } = session;
  const name = `pid ${process.pid} memory`;
  if (process.kernelThread === true) {
    context.gap(gap('absent', name, 'a thread of the kernel: it has no memory of its own'));
    return;
  }
  const { pid, startTicks } = process;
  const bytes = Math.min(MAX_PROCESS_BYTES, session.left - Math.min(HEAD_BYTES, session.left / 4));
  const begun = { at: new Date().toISOString(), frozen: frozen?.isFrozen() === true };
  const opening = openMemory({
    proc: context.host.proc,
    pid,
    startTicks,
    bytes,
    threads: MAX_LEFT_BEHIND - session.leftBehind,
  });
  const opened = await Promise.race([opening, session.stopped]);
  if (opened === undefined) {
    // stopped while its memory was listed: nobody waits for the thread
    void opening.then((late) => ('gap' in late ? undefined : late.end()));
    return;
  }
  if ('gap' in opened) {
    noteLeftBehind(session, name, opened.leftBehind);
    context.gap(opened.gap);
    await rows.push(memoryRow(process, begun, undefined));
    return;
  }
  for (const found of opened.layout.gaps) context.gap(found);
  const path = `40-memory/${pid}-${startTicks}.core.zst`;
  const done = Promise.withResolvers<CoreResult>();
  let truncated: string | undefined;
  const content = coreContent(pid, opened, session.machine, (result) => {
    truncated = result.truncated;
    done.resolve(result);
  });
  try {
    yield { kind: 'artefact', path, source: `/proc/${pid}/mem`, content, truncated: () => truncated };
    const result = await Promise.race([done.promise, session.stopped]);
    if (result === undefined) return;
    session.left = Math.max(0, session.left - result.size);
    for (const found of result.gaps) context.gap(found);
    noteLeftBehind(session, name, opened.leftBehind);
    const seconds = frozen?.seconds();
    const how = {
      throughout: begun.frozen && frozen?.isFrozen() === true,
      ...(seconds === undefined ? {} : { seconds }),
    };
    await rows.push(memoryRow(process, begun, { path, layout: opened.layout, result, frozen: how }));
  } finally {
    opened.end();
  }
}

/** The program must then end hard: nothing wakes a thread out of a system call that does not come back. */
function noteLeftBehind(session: Session, name: string, threads: number): void {
  if (threads === 0) return;
  const { context } = session;
  session.leftBehind += threads;
  context.leftBehind();
  context.footprint({ kind: 'note', name, detail: 'a thread of ours hangs in a read of it until the capture ends' });
}
