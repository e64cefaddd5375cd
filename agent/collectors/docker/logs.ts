// Containers' logs as archive members: the newest bytes of each, with the engine's time stamps.
import { gap } from '../../../capture/index.ts';
import type { Member } from '../../../evidence/index.ts';
import type { LogAnswer } from '../../runtime/docker.ts';
import type { Inspected } from './containers.ts';
import { engineGap } from './gaps.ts';
import type { Session } from './session.ts';

/** Bounds of one container's log. Engines send a tail from its oldest line on, so the lines bound the work. */
const LOG_LINES = 20_000;
const LOG_BYTES = 4 * 1_048_576;
/** Logs in memory at once. */
const AHEAD = 2;

/** ID/stdout.log and ID/stderr.log, or ID/tty.log where a terminal had merged them; a log that is empty has none. */
export async function* logMembers(session: Session, containers: readonly Inspected[]): AsyncGenerator<Member> {
  const pending: Promise<LogAnswer | undefined>[] = [];
  let next = 0;
  for (const container of containers) {
    for (; next < containers.length && pending.length < AHEAD; next++) {
      const coming = containers[next];
      if (coming !== undefined) pending.push(read(session, coming));
    }
    const answer = await pending.shift();
    if (answer === undefined) continue;
    const truncated = truncation(session, container, answer);
    const mtime = BigInt(Date.now()) * 1_000_000n;
    for (const [stream, content] of answer.streams) {
      const name = `${container.id}/${stream}.log`;
      yield { name, mtime, content, ...(truncated === undefined ? {} : { truncated }) };
    }
  }
}

async function read(session: Session, container: Inspected): Promise<LogAnswer | undefined> {
  const { id, tty } = container;
  try {
    return await session.engine.logs(id, { tty, lines: LOG_LINES, bytes: LOG_BYTES }, session.signal);
  } catch (error) {
    session.gaps.push(engineGap(error, `container ${id} logs`, session.context.signal));
    return undefined;
  }
}

/** Also declares the gap: one for each container. */
function truncation(session: Session, container: Inspected, answer: LogAnswer): string | undefined {
  const name = `container ${container.id} logs`;
  if (answer.engineError !== undefined) session.gaps.push(gap('failed', name, `the engine: ${answer.engineError}`));
  const reasons = [];
  if (!answer.complete)
    reasons.push(`the engine was still sending the last ${answer.asked} lines when a bound ended it`);
  else if (answer.lines >= answer.asked)
    reasons.push(`only the last ${answer.asked} lines were asked for; how much is before them is not known`);
  if (answer.dropped > 0)
    reasons.push(`${answer.dropped} older bytes of what was asked for were left out beyond ${LOG_BYTES} bytes`);
  if (reasons.length === 0) return undefined;
  const why = reasons.join('; ');
  session.gaps.push(gap('truncated', name, why));
  return why;
}
