// What the agent takes of a busy node's memory, asleep and in profile standard: the built program, in a real cluster.
import { setTimeout as sleep } from 'node:timers/promises';
import { components } from '../test/testbed/components.ts';
import { IMPOUND_COMPONENTS, startImpound } from '../test/testbed/impound.ts';
import { lacking } from '../test/testbed/probe.ts';
import { forgetPeak, useOf } from './fleet/gauge.ts';
import { ALLOCATOR, type Measured } from './measure.ts';

const ASLEEP_MILLISECONDS = 5000;
const CAPTURES = 2;
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
    const fresh = await useOf(pid);
    await forgetPeak(pid);
    for (let number = 1; number <= CAPTURES; number++) {
      await impound.capture(`standard-${number}`, { profile: 'standard' });
      await impound.untilPhase(`standard-${number}`, 600, 'Sealed', 'Failed', 'Cancelled');
      await impound.patch(`standard-${number}`, { release: true });
      await impound.untilPhase(`standard-${number}`, 30, 'Released');
    }
    const { peak } = await useOf(pid);
    return [
      row('the agent asleep: memory', fresh.rss),
      row(`${CAPTURES} captures of profile standard: its peak memory`, peak),
    ];
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

function row(what: string, bytes: number): Measured {
  const mebibytes = (bytes / 1024 ** 2).toFixed(0);
  return {
    ...{ what, figure: `${mebibytes} MiB`, floor: '', ratio: '' },
    wanted: `under ${BYTES / 1024 ** 2} MiB`,
    met: bytes < BYTES,
  };
}
