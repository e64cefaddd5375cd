// A controller with many nodes: what it takes while their agents are asleep, while many captures are made at once, and when
// all agents come back at once. Real API server, store, tokens and protocol; nodes are hollow, agents some hundred a process.
import { components } from '../test/testbed/components.ts';
import { IMPOUND_COMPONENTS } from '../test/testbed/impound.ts';
import { lacking } from '../test/testbed/probe.ts';
import { asleep } from './fleet/asleep.ts';
import { startFleetBed } from './fleet/bed.ts';
import { capturing } from './fleet/capturing.ts';
import { startCrew } from './fleet/crew.ts';
import type { Fleet } from './fleet/fleet.ts';
import { keepReporting, makeHollowNodes } from './fleet/nodes.ts';
import { returning } from './fleet/returning.ts';
import type { Measured } from './measure.ts';

const FIRST_SECONDS = 120;

/** Nothing where a component is missing. Some five minutes with 1,000 nodes. */
export async function measureFleet(count: number): Promise<readonly Measured[]> {
  const needed = components().filter(({ name }) => IMPOUND_COMPONENTS.some((one) => one === name));
  if (needed.some((component) => lacking(component) !== undefined)) return [];
  const ends: (() => unknown)[] = [];
  try {
    const bed = await startFleetBed({ after: (end) => void ends.push(end) });
    const nodes = await makeHollowNodes(bed.impound, count);
    const names = nodes.map(({ name }) => name);
    ends.push(keepReporting(bed.impound.cluster.api, names));
    await bed.calm();
    const fleet: Fleet = { bed, names, crew: await startCrew(bed, nodes) };
    await fleet.crew.polling(0, FIRST_SECONDS);
    return [
      ...(await asleep(fleet)),
      ...(await capturing(fleet)),
      ...(await returning(fleet, 'SIGTERM')),
      ...(await returning(fleet, 'SIGKILL')),
    ];
  } finally {
    for (const end of ends.reverse()) await end();
  }
}
