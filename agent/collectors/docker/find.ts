// Which of the candidate sockets a Docker engine answers at.
import { type GapReport, gap } from '../../../capture/index.ts';
import { errnoOf, ImpoundError } from '../../../evidence/index.ts';
import type { NodeContext } from '../../context.ts';
import { type DockerEngine, openDocker } from '../../runtime/docker.ts';
import { engineGap } from './gaps.ts';

/** The first that answers, and a gap for each before it that is there and does not; one gap where none is there. */
export async function findEngine(
  context: NodeContext,
): Promise<{ readonly engine?: DockerEngine; readonly gaps: readonly GapReport[] }> {
  const gaps: GapReport[] = [];
  for (const socket of context.dockerSockets) {
    const name = `unix://${socket}`;
    try {
      const engine = await openDocker(socket);
      context.footprint({ kind: 'connection', name, detail: 'Docker engine API, GET requests only' });
      await engine.ping(context.signal);
      return { engine, gaps };
    } catch (error) {
      if (!isAbsent(error)) gaps.push(engineGap(error, name, context.signal));
    }
  }
  if (gaps.length > 0) return { gaps };
  const tried = context.dockerSockets.map((socket) => `unix://${socket}`).join(', ');
  const silence = `no Docker engine answers at ${tried || 'any socket'}`;
  const how = `name its socket with ${context.namedBy('docker')}`;
  const running = (await context.walk.index()).find(({ comm }) => comm === 'dockerd');
  if (running === undefined)
    return { gaps: [gap('absent', 'Docker engine', `${silence}; where it listens elsewhere, ${how}`)] };
  const where = `${silence}, and dockerd runs as pid ${running.pid}: ${how}`;
  return { gaps: [gap('failed', 'Docker engine', where)] };
}

/** No such file, or a socket file whose listener is gone. */
function isAbsent(error: unknown): boolean {
  const errno = error instanceof ImpoundError ? errnoOf(error.cause) : undefined;
  return errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ECONNREFUSED';
}
