// One capture of the runtimes: asks them, keeps each answer's bytes for the archive, and turns failures into gaps.
import { type GapReport, gap } from '../../../capture/index.ts';
import { Channel, type Member, unlessAborted } from '../../../evidence/index.ts';
import type { NodeContext } from '../../context.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import type { Answer } from '../../runtime/grpc.ts';
import { runtimeGap } from './gaps.ts';

export interface Session {
  readonly context: NodeContext;
  /** Ends some time before the collector's own deadline, so that what was had is still stored. */
  readonly signal: AbortSignal;
  readonly raw: Channel<Member>;
  /** Every process by PID; empty where the walk over /proc was not there in time. */
  readonly processes: Promise<ReadonlyMap<number, ProcessSummary>>;
  gap(report: GapReport): void;
}

/** Kept for storing what was had, of the collector's own seconds. */
const STORING_SECONDS = 10;
/** Answers that wait to be stored. */
const ANSWERS_WAITING = 8;
/** Questions to one server at once. */
const AT_ONCE = 8;

export function startSession(context: NodeContext): Session {
  const signal = context.endsIn(STORING_SECONDS);
  const raw = new Channel<Member>(ANSWERS_WAITING);
  // whoever still waits to hand in an answer is let go when nobody may store it any more
  context.signal.addEventListener('abort', () => raw.end(), { once: true });
  return { context, signal, raw, processes: processesOf(context, signal), gap: (report) => context.gap(report) };
}

/** Where an answer came from: the path of its member in the archive. */
export interface Question {
  readonly socket: string;
  readonly service: string;
  readonly method: string;
  /** containerd's namespace, the thing's id. */
  readonly about?: readonly string[];
  /** What is lost where there is no answer. */
  readonly name: string;
}

/** Asks and archives the bytes; undefined where there is a gap instead. */
export async function ask<T>(
  session: Session,
  question: Question,
  call: () => Promise<Answer<T>>,
): Promise<T | undefined> {
  try {
    const answer = await call();
    await keep(session, question, answer.raw);
    return answer.decode();
  } catch (error) {
    session.gap(runtimeGap(error, question.name, session.context.signal));
    return undefined;
  }
}

/**
 * The messages of a stream as they come; a gap where it ends early. Their bytes are archived one after the other, which
 * is a message of the same type again (protobuf.dev, "Encoding": concatenated messages are merged).
 */
export async function* askStream<T>(
  session: Session,
  question: Question,
  call: () => AsyncGenerator<Answer<T>>,
): AsyncGenerator<T> {
  const kept: Buffer[] = [];
  try {
    for await (const answer of call()) {
      kept.push(answer.raw);
      yield answer.decode();
    }
  } catch (error) {
    session.gap(runtimeGap(error, question.name, session.context.signal));
  } finally {
    await keep(session, question, Buffer.concat(kept));
  }
}

/** `work` over all items, at most 8 at once; results in the items' order. */
export async function* inOrder<T, R>(items: readonly T[], work: (item: T) => Promise<R>): AsyncGenerator<R> {
  const begun: Promise<R>[] = [];
  let next = 0;
  for (const _ of items) {
    for (; next < items.length && begun.length < AT_ONCE; next++) {
      const result = work(items[next] as T);
      result.catch(() => undefined); // thrown below; where nobody reads on, it must not end the process
      begun.push(result);
    }
    const first = begun.shift();
    if (first !== undefined) yield await first;
  }
}

async function keep(session: Session, { socket, service, method, about = [] }: Question, raw: Buffer): Promise<void> {
  const names = [method, ...about].map((name) => encodeURIComponent(name).slice(0, NAME_LENGTH));
  const name = `${socket.replace(/^\/+/, '')}/${service}/${names.join('/')}.pb`;
  await session.raw.push({ name, mtime: BigInt(Date.now()) * 1_000_000n, content: raw });
}

const NAME_LENGTH = 200;

async function processesOf(context: NodeContext, signal: AbortSignal): Promise<ReadonlyMap<number, ProcessSummary>> {
  const processes = await unlessAborted(context.walk.index(), signal, () => undefined);
  if (processes === undefined) {
    context.gap(gap('timeout', "containers' processes", 'the walk over /proc had not ended in time'));
    return new Map();
  }
  return new Map(processes.map((process) => [process.pid, process]));
}
