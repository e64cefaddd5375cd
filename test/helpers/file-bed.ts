// What all tests of a file share, started once at its top level; skipped by name where a component is missing, and under
// CI=true a failure.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { missing } from './component.ts';

/** A test that is given what the file has started. */
export type Scenario<Bed> = (name: string, work: (bed: Bed, t: TestContext) => Promise<void>) => void;

/** To be awaited at the top level, where node:test's `after` is over with the file. */
export async function fileBed<Bed>(components: readonly string[], start: () => Promise<Bed>): Promise<Scenario<Bed>> {
  const lacking = missing(components);
  if (process.env.CI === 'true') assert.equal(lacking, undefined);
  const bed = lacking === undefined ? await start() : undefined;
  return (name, work) => {
    test(name, { skip: lacking ?? false }, (t) => work(bed ?? assert.fail(lacking), t));
  };
}
