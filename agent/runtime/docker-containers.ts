// A Docker engine's containers with their overlay folders, by list and inspect.
import { describeError, errnoOf, forEachBounded, type Gap, ImpoundError } from '../../evidence/index.ts';
import type { ContainerSources, KnownContainer, KnownContainers } from '../containers.ts';
import { type DockerEngine, openDocker } from './docker.ts';
import { at, listAt, numberAt, textAt } from './json.ts';

const AT_ONCE = 8;
const MAX_CONTAINERS = 5000;

/** Of the first socket where an engine answers. */
export async function dockerContainers({ dockerSockets, signal }: ContainerSources): Promise<KnownContainers> {
  const gaps: Gap[] = [];
  for (const socket of dockerSockets) {
    try {
      const engine = await openDocker(socket);
      return { containers: await inspected(engine, signal, gaps), gaps };
    } catch (error) {
      const errno = error instanceof ImpoundError ? errnoOf(error.cause) : undefined;
      if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ECONNREFUSED') continue;
      gaps.push({ reason: 'failed', name: `containers of unix://${socket}`, detail: describeError(error) });
    }
  }
  return { containers: [], gaps };
}

async function inspected(engine: DockerEngine, signal: AbortSignal, gaps: Gap[]): Promise<readonly KnownContainer[]> {
  const listed = listAt(JSON.parse((await engine.containers(signal)).raw.toString('utf8'))).flatMap(
    (row) => textAt(row, 'Id') ?? [],
  );
  if (listed.length > MAX_CONTAINERS) {
    const name = `containers of unix://${engine.socket}: ${listed.length - MAX_CONTAINERS} left`;
    gaps.push({ reason: 'truncated', name, detail: `more than ${MAX_CONTAINERS} containers` });
  }
  const containers: KnownContainer[] = [];
  await forEachBounded(listed.slice(0, MAX_CONTAINERS), AT_ONCE, async (id) => {
    try {
      containers.push(containerOf(id, JSON.parse((await engine.inspect(id, signal)).raw.toString('utf8'))));
    } catch (error) {
      gaps.push({ reason: 'failed', name: `container ${id}`, detail: describeError(error) });
    }
  });
  return containers;
}

function containerOf(id: string, answer: unknown): KnownContainer {
  const upper = textAt(answer, 'GraphDriver', 'Data', 'UpperDir');
  const driver = textAt(answer, 'GraphDriver', 'Name');
  const pid = numberAt(answer, 'State', 'Pid') ?? 0;
  const name = textAt(answer, 'Name')?.replace(/^\//, '');
  const image = textAt(answer, 'Config', 'Image');
  const lower = textAt(answer, 'GraphDriver', 'Data', 'LowerDir')?.split(':') ?? [];
  return {
    id,
    engine: 'docker',
    ...(name === undefined ? {} : { name }),
    ...(image === undefined ? {} : { image }),
    running: at(answer, 'State', 'Running') === true,
    ...(pid > 0 ? { pid } : {}),
    ...(driver === undefined ? {} : { driver }),
    ...(upper === undefined ? {} : { layer: { upper, lower } }),
  };
}
