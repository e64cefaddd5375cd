// What a simulated agent collects: as many artefacts and bytes as profile quick makes of a small node, by the real engine,
// custodian and uploads, without reading a node.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { RemoteCustodian } from '../../agent/remote/custodian.ts';
import type { Link } from '../../agent/remote/link.ts';
import { type Artefact, type CollectContext, type Collector, runCapture } from '../../capture/index.ts';
import { type Logger, systemClock } from '../../evidence/index.ts';
import type { CaptureOrder } from '../../protocol/index.ts';

/** By collector and folder: 20 artefacts, 2 MB together, in some three seconds; a real agent takes one to three for profile quick. */
const PLAN = [
  { name: 'processes', folder: '10-process', sizes: [4000, 20_000, 40_000, 60_000, 80_000, 120_000, 900_000] },
  { name: 'sockets', folder: '20-network', sizes: [1000, 2000, 10_000, 20_000, 40_000, 150_000] },
  { name: 'kernel', folder: '50-kernel', sizes: [3000, 10_000, 10_000, 20_000, 60_000, 150_000, 300_000] },
] as const;
const LARGEST = Math.max(...PLAN.flatMap(({ sizes }) => sizes));
const CHUNK = 64 * 1024;
/** Between two artefacts of a collector. */
const PACE_MILLISECONDS = 450;

/** Bytes that no capture shares with another: each starts elsewhere in them. */
export function makeEvidence(): Buffer {
  return randomBytes(2 * LARGEST);
}

export interface SimulatedCapture {
  readonly order: CaptureOrder;
  readonly link: Link;
  /** PEM of the controller's authority. */
  readonly ca: string;
  readonly software: string;
  readonly log: Logger;
  readonly evidence: Buffer;
}

/** Throws as the link does. */
export async function simulateCapture({ order, link, ca, software, log, evidence }: SimulatedCapture): Promise<void> {
  const { uid } = order;
  const collectors = PLAN.map((plan, index) => collectorOf(plan, index, evidence));
  const names = collectors.map(({ name }) => name);
  const nonce = randomBytes(16).toString('hex');
  const session = await link.begin(uid, { nonce, software, collectors: names });
  const stopped = new AbortController();
  const { signal } = stopped;
  const common = { link, uid, session, ca, clock: systemClock, log };
  const custodian = new RemoteCustodian({ ...common, recipients: [], stop: () => stopped.abort() });
  try {
    await runCapture({
      ...{ collectors, skipped: [], custodian, session, signal, log, clock: systemClock },
      context: (base) => base,
      observe: () => undefined,
    });
    await custodian.flush();
    const outcome = signal.aborted ? 'aborted' : 'complete';
    await link.end(uid, { session, outcome, gaps: [], footprint: [] });
  } finally {
    custodian.close();
  }
}

function collectorOf({ name, folder, sizes }: (typeof PLAN)[number], volatility: number, evidence: Buffer): Collector {
  const artefacts = sizes.map((_, index) => `${folder}/artefact-${index + 1}.bin`);
  return {
    ...{ name, description: 'made up', phase: 'volatile', volatility, artefacts, needs: [] },
    limits: { bytes: 2 * LARGEST, seconds: 60 },
    async *collect(_: CollectContext): AsyncGenerator<Artefact> {
      for (const [index, size] of sizes.entries()) {
        if (index > 0) await sleep(PACE_MILLISECONDS);
        const from = Math.floor(Math.random() * LARGEST);
        const content = chunks(evidence.subarray(from, from + size));
        yield { kind: 'artefact', path: artefacts[index] ?? '', source: 'made up', content };
      }
    },
  };
}

async function* chunks(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK) yield bytes.subarray(at, at + CHUNK);
}
