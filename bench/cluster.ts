// How long a NodeCapture takes to its first stored artefact and to its seal, on a cluster of this machine's own.
import { records } from '../evidence/index.ts';
import { chainOf } from '../test/helpers/sealed.ts';
import { components } from '../test/testbed/components.ts';
import { IMPOUND_COMPONENTS, type Impound, startImpound } from '../test/testbed/impound.ts';
import { lacking } from '../test/testbed/probe.ts';
import { type Measured, median } from './measure.ts';

/** Nothing where a component is missing. */
export async function measureCluster(rounds: number): Promise<readonly Measured[]> {
  const needed = components().filter(({ name }) => IMPOUND_COMPONENTS.some((one) => one === name));
  if (needed.some((component) => lacking(component) !== undefined)) return [];
  const ends: (() => unknown)[] = [];
  try {
    const impound = await startImpound({ after: (end) => void ends.push(end) });
    const times: { first: number; sealed: number }[] = [];
    for (let round = -1; round < rounds; round++) {
      const time = await capture(impound, `round-${round + 1}`);
      if (round >= 0) times.push(time);
    }
    const first = median(times.map((time) => time.first));
    const sealed = median(times.map((time) => time.sealed));
    return [
      row('NodeCapture created to first artefact stored', first, 1),
      row('NodeCapture created to sealed, profile quick', sealed),
    ];
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

/** Seconds. An artefact's record has the time at which it was whole in the store. */
async function capture(impound: Impound, name: string): Promise<{ readonly first: number; readonly sealed: number }> {
  const created = Date.now();
  await impound.capture(name, { profile: 'quick' });
  const sealedCapture = await impound.untilPhase(name, 120, 'Sealed', 'Failed');
  const { status } = sealedCapture;
  const statements = (await chainOf(impound, sealedCapture)).map(({ statement }) => statement);
  const agent = statements.filter(({ predicate }) => predicate.actor.kind === 'agent');
  const stored = records(agent).map(({ ended }) => Date.parse(ended));
  await impound.patch(name, { release: true });
  await impound.untilPhase(name, 30, 'Released');
  return {
    first: (Math.min(...stored) - created) / 1000,
    sealed: (Date.parse(status?.sealedAt ?? '') - created) / 1000,
  };
}

function row(what: string, seconds: number, limit?: number): Measured {
  const figure = `${seconds.toFixed(2)} s`;
  if (limit === undefined) return { what, figure, floor: '', ratio: '', wanted: '' };
  return { what, figure, floor: '', ratio: '', wanted: `under ${limit} s`, met: seconds < limit };
}
