// A Docker engine's containers with their overlay folders, by list and inspect.
import { describeError, errnoOf, forEachBounded, type Gap, ImpoundError } from '../../evidence/index.ts';
import type { ContainerSources, KnownContainer, KnownContainers } from '../containers.ts';
import { type DockerEngine, openDocker } from './docker.ts';

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
  const listed = list(JSON.parse((await engine.containers(signal)).raw.toString('utf8'))).flatMap(
    (row) => text(record(row).Id) ?? [],
  );
  if (listed.length > MAX_CONTAINERS) {
    const name = `containers of unix://${engine.socket}: ${listed.length - MAX_CONTAINERS} left`;
    gaps.push({ reason: 'truncated', name, detail: `more than ${MAX_CONTAINERS} containers` });
  }
  const containers: KnownContainer[] = [];
  await forEachBounded(listed.slice(0, MAX_CONTAINERS), AT_ONCE, async (id) => {
    try {
      containers.push(containerOf(id, record(JSON.parse((await engine.inspect(id, signal)).raw.toString('utf8')))));
    } catch (error) {
      gaps.push({ reason: 'failed', name: `container ${id}`, detail: describeError(error) });
    }
  });
  return containers;
}

function containerOf(id: string, answer: Readonly<Record<string, unknown>>): KnownContainer {
  const { State, Config, GraphDriver } = answer;
  const driver = record(record(GraphDriver).Data);
  const upper = text(driver.UpperDir);
  const pid = Number(record(State).Pid);
  const name = text(answer.Name)?.replace(/^\//, '');
  const image = text(record(Config).Image);
  return {
    id,
    engine: 'docker',
    ...(name === undefined ? {} : { name }),
    ...(image === undefined ? {} : { image }),
    running: record(State).Running === true,
    ...(pid > 0 ? { pid } : {}),
    ...(upper === undefined ? {} : { layer: { upper, lower: text(driver.LowerDir)?.split(':') ?? [] } }),
  };
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
