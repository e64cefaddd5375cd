// Runs the cluster's collector to its end, consuming its artefacts concurrently as the engine does.

import type { Artefact } from '../../../capture/index.ts';
import { kubernetes as collector, type KubernetesContext } from '../../../controller/collectors/kubernetes.ts';
import type { Gap, Logger } from '../../../evidence/index.ts';

export interface Collected {
  readonly artefacts: ReadonlyMap<string, Buffer>;
  /** By path, why it is incomplete. */
  readonly truncated: ReadonlyMap<string, string>;
  readonly gaps: readonly Gap[];
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export async function collectKubernetes(
  given: Pick<KubernetesContext, 'kubernetes' | 'node'> & Partial<KubernetesContext>,
): Promise<Collected> {
  const artefacts = new Map<string, Buffer>();
  const truncated = new Map<string, string>();
  const gaps: Gap[] = [];
  const context: KubernetesContext = {
    signal: AbortSignal.timeout(collector.limits.seconds * 1000),
    limits: collector.limits,
    endsIn: (seconds) => AbortSignal.timeout((collector.limits.seconds - seconds) * 1000),
    log: silent,
    phases: (async function* () {})(),
    release() {},
    gap: (found) => void gaps.push(found),
    clock() {},
    suspects: [],
    ...given,
  };
  const read = async (artefact: Artefact): Promise<void> => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of artefact.content) chunks.push(chunk);
    artefacts.set(artefact.path, Buffer.concat(chunks));
    const why = artefact.truncated?.();
    if (why !== undefined) truncated.set(artefact.path, why);
  };
  const reading: Promise<void>[] = [];
  for await (const item of collector.collect(context)) {
    if (item.kind === 'gap') {
      const { kind: _, ...gap } = item;
      gaps.push(gap);
    } else reading.push(read(item));
  }
  await Promise.all(reading);
  return { artefacts, truncated, gaps };
}
