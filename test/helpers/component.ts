// Skips a test by name where a real component it needs is missing; under CI=true the test fails instead.
import type { TestContext } from 'node:test';
import { componentsNamed } from '../testbed/components.ts';
import { lacking } from '../testbed/probe.ts';

/** True when every component named is there: `if (!needs(t, 'dockerd', 'docker')) return;`. */
export function needs(t: TestContext, ...names: readonly string[]): boolean {
  const reason = missing(names);
  if (reason === undefined) return true;
  if (process.env.CI === 'true') throw new Error(reason);
  t.skip(reason);
  return false;
}

/** What is missing of the components named, with how to get it; for the set-up of tests that share one component. */
export function missing(names: readonly string[]): string | undefined {
  const reasons = componentsNamed(names).flatMap((component) => lacking(component) ?? []);
  return reasons.length === 0 ? undefined : reasons.join('; ');
}
