// The node's clocks through the whole capture: every other time stamp in the bundle is read against these.
import { existsSync } from 'node:fs';
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import { type ClockSample, jsonLine } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import type { Host } from '../host/host.ts';
import { readKernelText } from '../host/read.ts';

/** Files whose presence says that a time service has the clock synchronised: systemd-timesyncd(8). */
const SYNCHRONISED = '/run/systemd/timesync/synchronized';

export const clock: Collector<NodeContext> = Object.freeze({
  name: 'clock',
  description: 'Clocks at the start, at each phase and at the end: UTC, monotonic, boot time, boot id, source',
  phase: 'throughout',
  volatility: 0,
  artefacts: ['00-meta/clock.jsonl'],
  needs: [
    { kind: 'program', name: 'adjtimex', without: 'whether the kernel clock is synchronised, and its estimated error' },
  ],
  limits: { bytes: 1024 * 1024, seconds: 3600 },
  collect,
} satisfies Collector<NodeContext>);

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  yield {
    kind: 'artefact',
    path: '00-meta/clock.jsonl',
    source: 'clock_gettime(2), /proc, /sys',
    content: samples(context),
  };
  if (!existsSync(context.host.path(SYNCHRONISED))) {
    yield gap(
      'unsupported',
      'clock synchronisation',
      'the kernel was not asked (adjtimex(2)), and no time service left its mark',
    );
  }
}

async function* samples(context: NodeContext): AsyncGenerator<Uint8Array> {
  const take = (phase: string): Buffer => {
    const sample = sampleClock(context.host, phase);
    context.clock(sample);
    return jsonLine(sample);
  };
  yield take('start');
  for await (const phase of context.phases) yield take(phase);
}

/** One reading; fields that this machine does not have are left out. */
function sampleClock(host: Host, phase: string): ClockSample {
  const uptime = text(`${host.proc}/uptime`)?.split(' ')[0];
  const bootId = text(`${host.proc}/sys/kernel/random/boot_id`);
  const clockSource = text(`${host.sys}/devices/system/clocksource/clocksource0/current_clocksource`);
  return {
    phase,
    utc: new Date().toISOString(),
    monotonicSeconds: Number(process.hrtime.bigint() / 1000n) / 1e6,
    ...(uptime === undefined ? {} : { boottimeSeconds: Number(uptime) }),
    ...(bootId === undefined ? {} : { bootId }),
    ...(clockSource === undefined ? {} : { clockSource }),
    ...(existsSync(host.path(SYNCHRONISED)) ? { synchronised: true } : {}),
  };
}

function text(path: string): string | undefined {
  try {
    return readKernelText(path);
  } catch {
    return undefined; // left out: the sample says what it has
  }
}
