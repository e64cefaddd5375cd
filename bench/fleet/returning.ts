// The leader ends; all its agents come back at once, to the other replica.
import { type Measured, median } from '../measure.ts';
import { REPLICAS } from './bed.ts';
import { type Fleet, isReview, memoryRow, otherThan, row, seconds } from './fleet.ts';
import { apiRequests, forgetPeak, tally, useOf } from './gauge.ts';

/** A lease that is left to lapse lasts 15 s, an agent's longest pause 10 s, and it may try once in vain. */
const WANTED_SECONDS = 40;
const PATIENCE_SECONDS = 120;

/** Ended "SIGTERM" in order, "SIGKILL" without a word. */
export async function returning(
  { bed, crew, names }: Fleet,
  signal: 'SIGTERM' | 'SIGKILL',
): Promise<readonly Measured[]> {
  const leader = await bed.leader();
  const next = otherThan(leader);
  const { pid } = bed.controller(next);
  await forgetPeak(pid);
  const before = await useOf(pid);
  const from = Date.now();
  const ended = bed.controller(leader).kill(signal);
  await bed.serve([next]);
  const back = (await crew.polling(from, PATIENCE_SECONDS)).map((milliseconds) => milliseconds / 1000);
  const after = await useOf(pid);
  await ended;
  const last = Math.max(...back);
  const asked = await apiRequests(bed.audit, from, from + last * 1000 + 1000);
  const reviews = tally(asked.filter(isReview).map(({ at }) => String(Math.floor(at / 1000))));
  const inVain = (await crew.said()).filter((one) => one.kind === 'failed' && one.at >= from).length;
  await bed.controller(leader).start();
  await bed.serve(REPLICAS);
  const how = signal === 'SIGTERM' ? 'in order' : 'by SIGKILL';
  return [
    row(`leader ended ${how}: an agent polls again, median`, seconds(median(back))),
    row(`  all ${names.length} do`, seconds(last), `under ${WANTED_SECONDS} s`, last < WANTED_SECONDS),
    row('  tries in vain', `${(inVain / names.length).toFixed(1)} an agent`),
    row('  TokenReviews in the busiest second', String(Math.max(...reviews.values()))),
    row('  CPU of who leads then', `${(after.cpuSeconds - before.cpuSeconds).toFixed(1)} s`),
    memoryRow('  its peak memory', after.peak),
  ];
}
