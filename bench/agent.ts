// What the agent takes of a busy node's memory, asleep and in profile standard: the built program, in a real cluster.
import { setTimeout as sleep } from 'node:timers/promises';
import { components } from '../test/testbed/components.ts';
import { IMPOUND_COMPONENTS, startImpound } from '../test/testbed/impound.ts';
import { lacking } from '../test/testbed/probe.ts';
import { useOf } from './fleet/gauge.ts';
import { ALLOCATOR, type Measured } from './measure.ts';

const ASLEEP_MILLISECONDS = 5000;
const CAPTURES = 2;
const PATIENCE_SECONDS = 600;
const LOOK_MILLISECONDS = 100;
/** As the manifests limit it. */
const BYTES = 256 * 1024 ** 2;

/** Nothing where a component is missing. */
export async function measureAgent(): Promise<readonly Measured[]> {
  const needed = components().filter(({ name }) => IMPOUND_COMPONENTS.some((one) => one === name));
  if (needed.some((component) => lacking(component) !== undefined)) return [];
  const ends: (() => unknown)[] = [];
  try {
    Object.assign(process.env, ALLOCATOR); // the bed's programs have this process's environment
    const impound = await startImpound({ after: (end) => void ends.push(end) });
    const { pid } = impound.agent('node1').program;
    await sleep(ASLEEP_MILLISECONDS);
    const asleep = (await useOf(pid)).anonymous;
    const peaks: number[] = [];
    for (let number = 1; number <= CAPTURES; number++) {
      const name = `standard-${number}`;
      await impound.capture(name, { profile: 'standard' });
      peaks.push(await peakUntil(pid, impound.untilPhase(name, PATIENCE_SECONDS, 'Sealed', 'Failed', 'Cancelled')));
      await impound.patch(name, { release: true });
      await impound.untilPhase(name, 30, 'Released');
    }
    return [
      row('the agent asleep: memory of its own', asleep),
      ...peaks.map((peak, index) => row(`  capture ${index + 1} of profile standard: its peak`, peak)),
    ];
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

async function peakUntil(pid: number, work: Promise<unknown>): Promise<number> {
  let peak = 0;
  const look = async (): Promise<void> => {
    peak = Math.max(peak, (await useOf(pid)).anonymous);
  };
  const timer = setInterval(() => void look().catch(() => undefined), LOOK_MILLISECONDS); // its end is met by `work`
  await work.finally(() => clearInterval(timer));
  return peak;
}

function row(what: string, bytes: number): Measured {
  const mebibytes = (bytes / 1024 ** 2).toFixed(0);
  return {
    ...{ what, figure: `${mebibytes} MiB`, floor: '', ratio: '' },
    wanted: `under ${BYTES / 1024 ** 2} MiB`,
    met: bytes < BYTES,
  };
}
