// Runs one collector to its end, consuming its artefacts concurrently as the engine does.
import type { FootprintItem, NodeContext, NodeSettings } from '../../agent/context.ts';
import { hostAt } from '../../agent/host/host.ts';
import { startWalk } from '../../agent/host/walk.ts';
import { nodeSettings } from '../../agent/settings.ts';
import { shared } from '../../agent/shared.ts';
import type { Artefact, Collector } from '../../capture/index.ts';
import type { Gap, Logger } from '../../evidence/index.ts';

export interface Collected {
  /** Bytes by bundle path, as the collector gave them: uncompressed, also where the path ends in `.zst`. */
  readonly artefacts: ReadonlyMap<string, Buffer>;
  readonly gaps: readonly Gap[];
  readonly footprint: readonly FootprintItem[];
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * The engine's part in small: a context of this machine ("/", profile quick, a walk of its own) with `overrides` on
 * top. A failure while an artefact's content is read rejects.
 */
export async function collect(
  collector: Collector<NodeContext>,
  overrides: Partial<NodeContext> = {},
): Promise<Collected> {
  const footprint: FootprintItem[] = [];
  const artefacts = new Map<string, Buffer>();
  const gaps: Gap[] = [];
  const ending = new AbortController();
  const host = overrides.host ?? hostAt('/');
  const signal = overrides.signal ?? ending.signal;
  const settings: NodeSettings = { ...nodeSettings(host), profile: 'quick', ...overrides };
  const raw = collector.name === 'processes';
  const walk = overrides.walk ?? startWalk(host, { raw, signal: AbortSignal.any([signal, ending.signal]) });
  const note = (item: FootprintItem): unknown => footprint.push(item);
  const context: NodeContext = {
    signal,
    limits: collector.limits,
    endsIn: (seconds) => AbortSignal.any([signal, AbortSignal.timeout((collector.limits.seconds - seconds) * 1000)]),
    log: silent,
    phases: phasesOf('volatile', 'end'),
    release() {},
    gap: (found) => void gaps.push({ ...found }),
    clock() {},
    ...settings,
    host,
    walk,
    ...shared({ host, settings, walk, signal, footprint: note }),
    footprint: note,
    leftBehind() {},
    ...overrides,
  };
  const reading: Promise<void>[] = [];
  try {
    for await (const item of collector.collect(context)) {
      if (item.kind === 'gap') {
        const { kind: _, ...gap } = item;
        gaps.push(gap);
      } else {
        const done = read(item, artefacts);
        done.catch(() => undefined); // awaited below; until then the collector may go on
        reading.push(done);
      }
    }
    await Promise.all(reading);
  } finally {
    ending.abort();
  }
  return { artefacts, gaps, footprint };
}

/** The rows of a JSON lines artefact. */
export function rowsOf(bytes: Buffer | undefined): Record<string, unknown>[] {
  if (bytes === undefined) throw new Error('the artefact was not stored');
  const lines = bytes.toString('utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>);
}

async function read(artefact: Artefact, artefacts: Map<string, Buffer>): Promise<void> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of artefact.content) chunks.push(chunk);
  artefacts.set(artefact.path, Buffer.concat(chunks));
}

async function* phasesOf(...names: string[]): AsyncGenerator<string> {
  for (const name of names) {
    yield name;
    await new Promise(setImmediate);
  }
}
