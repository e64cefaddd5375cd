// What machine this is: one JSON document, each part on its own, so that one that cannot be read loses no other.
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import type { NodeContext } from '../context.ts';
import { gapOf } from '../host/errno.ts';
import { hardware } from './host/hardware.ts';
import { IMDS, instanceIdentity, isEc2 } from './host/instance.ts';
import { mounts } from './host/mounts.ts';
import { reader } from './host/parts.ts';
import { runtimes } from './host/runtimes.ts';
import { confinement, kernel, operatingSystem } from './host/system.ts';

export const host: Collector<NodeContext> = Object.freeze({
  name: 'host',
  description:
    'Machine id, kernel, OS release, uptime, hardware, mounts, confinement, kubelet and runtimes, instance identity',
  phase: 'volatile',
  volatility: 60,
  artefacts: ['00-meta/host.json'],
  needs: [
    { kind: 'path', name: '/proc', without: 'everything' },
    { kind: 'path', name: '/sys', without: 'hardware, security modules, cgroups' },
  ],
  limits: { bytes: 32 * 1024 * 1024, seconds: 10 },
  collect: (context) => collectHost(context, IMDS),
} satisfies Collector<NodeContext>);

/** `imds` is where the instance metadata service would answer; asked only on machines that say they are EC2's. */
export async function* collectHost(context: NodeContext, imds: string): AsyncGenerator<Artefact | GapReport> {
  const read = reader(context.host, (error, name) => context.gap(gapOf(error, name, 'absent')));
  const document: Record<string, unknown> = {
    capturedAt: new Date().toISOString(),
    ...operatingSystem(read),
    kernel: kernel(read),
    ...hardware(context.host, read),
    ...confinement(context.host, read),
    mounts: mounts(read, (left) => context.gap(gap('truncated', 'mounts', `${left} more than were kept`))),
    ...runtimes(context.host, (error, name) => context.gap(gapOf(error, name, 'absent'))),
  };
  if (isEc2(read)) {
    context.footprint({ kind: 'connection', name: imds, detail: 'instance metadata service' });
    try {
      document.instance = await instanceIdentity(imds, context.signal);
    } catch (error) {
      context.gap(
        gap(
          'absent',
          'instance identity',
          `the metadata service did not answer: ${error instanceof Error ? error.message : error}`,
        ),
      );
    }
  }
  const bytes = Buffer.from(`${JSON.stringify(document, null, 2)}\n`);
  yield { kind: 'artefact', path: '00-meta/host.json', source: '/proc, /sys, /etc', content: one(bytes) };
}

async function* one(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
