// Nothing is asked for: what the controllers take of the machine and of the API server while all agents poll.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Measured } from '../measure.ts';
import { type Fleet, isReview, memoryRow, metrics, otherThan, perMinute, row } from './fleet.ts';
import { type ApiRequest, apiRequests, forgetPeak, useOf } from './gauge.ts';

/** Two reviews of each token. */
const SECONDS = 180;

export async function asleep({ bed, names }: Fleet): Promise<readonly Measured[]> {
  const leader = await bed.leader();
  const pids = [leader, otherThan(leader)].map((replica) => bed.controller(replica).pid);
  await Promise.all(pids.map(forgetPeak));
  await metrics(bed, leader);
  const from = Date.now();
  const before = await Promise.all(pids.map(useOf));
  await sleep(SECONDS * 1000);
  const after = await Promise.all(pids.map(useOf));
  const figures = await metrics(bed, leader);
  const to = Date.now();
  const minutes = (to - from) / 60_000;
  const asked = await apiRequests(bed.audit, from, to);
  const reviews = asked.filter(isReview).length / names.length / minutes;
  const upkeep = asked.filter(isUpkeep);
  const others = asked.filter((one) => !isReview(one) && !isUpkeep(one));
  const percent = after.map(({ cpuSeconds }, index) => {
    const spent = cpuSeconds - (before[index]?.cpuSeconds ?? Number.NaN);
    return `${((spent / minutes / 60) * 100).toFixed(1)} %`;
  });
  const [mine, other] = after.map(({ peak }) => peak);
  const lag = (figures.get('impound_nodejs_eventloop_lag_p99_seconds') ?? Number.NaN) * 1000;
  return [
    row(
      `${names.length} agents asleep: TokenReviews of each`,
      `${reviews.toFixed(2)} a minute`,
      'at most 1',
      reviews <= 1,
    ),
    row('  API requests of the controllers', `${(asked.length / minutes / 60).toFixed(1)} a second`),
    row('  of these for lease and watches', perMinute(upkeep, minutes)),
    row('  of these others', others.length === 0 ? 'none' : perMinute(others, minutes), 'none', others.length === 0),
    row('  CPU of who leads, of the other', percent.join(', ')),
    memoryRow('  peak memory of who leads', mine ?? Number.NaN),
    memoryRow('  peak memory of the other', other ?? Number.NaN),
    row("  delay of the leader's event loop, p99", `${lag.toFixed(0)} ms, 10 of them its timer's`),
  ];
}

/** What any replica does without agents: to lead or to see who leads, and to go on with its watches. */
function isUpkeep({ what }: ApiRequest): boolean {
  return what.endsWith(' leases') || what.startsWith('watch ');
}
