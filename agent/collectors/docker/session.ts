// One capture of one Docker engine: asks it, keeps each raw answer for the archive, and turns failures into gaps.
import { type GapReport, gap } from '../../../capture/index.ts';
import { Channel, type Member } from '../../../evidence/index.ts';
import type { NodeContext } from '../../context.ts';
import type { Answer, DockerEngine } from '../../runtime/docker.ts';
import { parseCutArray } from '../../runtime/json.ts';
import { engineGap } from './gaps.ts';

export interface Session {
  readonly engine: DockerEngine;
  readonly context: NodeContext;
  /** Ends some time before the engine's own deadline, so that what was had is still stored. */
  readonly signal: AbortSignal;
  readonly raw: Channel<Member>;
  readonly gaps: GapReport[];
}

/** Kept for storing what was had, of the collector's own seconds. */
const STORING_SECONDS = 10;
/** Answers that wait to be stored. */
const ANSWERS_WAITING = 8;

export function startSession(engine: DockerEngine, context: NodeContext): Session {
  const signal = context.endsIn(STORING_SECONDS);
  const raw = new Channel<Member>(ANSWERS_WAITING);
  // whoever still waits to hand in an answer is let go when nobody may store it any more
  context.signal.addEventListener('abort', () => raw.end(), { once: true });
  return { engine, context, signal, raw, gaps: [] };
}

/** Asks, archives the raw answer as `member`, and parses it; undefined where there is a gap (`name`) instead. */
export async function ask(
  session: Session,
  member: string,
  name: string,
  call: () => Promise<Answer>,
): Promise<unknown> {
  const asked = await archived(session, member, name, call);
  return asked.kind === 'gap' ? undefined : parsed(session, name, asked);
}

/** What an answer says, as far as it could be read. */
export function parsed(session: Session, name: string, answer: Answer): unknown {
  const text = answer.raw.toString('utf8');
  if (answer.cut !== undefined) return parseCutArray(text);
  try {
    return JSON.parse(text);
  } catch {
    session.gaps.push(gap('failed', name, 'the engine answered something that is not JSON; raw.tar.zst has it'));
    return undefined;
  }
}

/** Asks and archives the raw answer as `member`; the gap where there is none is declared already. */
export async function archived(
  session: Session,
  member: string,
  name: string,
  call: () => Promise<Answer>,
): Promise<({ readonly kind: 'answer' } & Answer) | GapReport> {
  let answer: Answer;
  try {
    answer = await call();
  } catch (error) {
    const report = engineGap(error, name, session.context.signal);
    session.gaps.push(report);
    return report;
  }
  const { raw, cut } = answer;
  if (cut !== undefined) session.gaps.push(gap('truncated', name, cut));
  const mtime = BigInt(Date.now()) * 1_000_000n;
  await session.raw.push({ name: member, mtime, content: raw, ...(cut === undefined ? {} : { truncated: cut }) });
  return { kind: 'answer', ...answer };
}
