// Which collectors run: a profile, refined by name.
import { ImpoundError } from '../evidence/index.ts';
import type { CollectContext, Collector } from './collector.ts';

export interface Selection {
  /** Names of the profile's collectors. */
  readonly profile: readonly string[];
  /** Where not empty, only these, whatever the profile has. */
  readonly only: readonly string[];
  readonly skip: readonly string[];
}

export interface Selected<C extends CollectContext> {
  readonly run: readonly Collector<C>[];
  /** Would have run, and were left out on request. */
  readonly skipped: readonly Collector<C>[];
}

/** Throws `unknown-collector` for a name that the registry does not have. */
export function selectCollectors<C extends CollectContext>(
  registry: readonly Collector<C>[],
  { profile, only, skip }: Selection,
): Selected<C> {
  const names = registry.map((collector) => collector.name);
  for (const name of [...only, ...skip]) {
    if (names.includes(name)) continue;
    throw new ImpoundError('unknown-collector', `there is no collector "${name}"; there are ${names.join(', ')}`, {
      operation: 'select collectors',
      thing: name,
    });
  }
  const wanted = registry.filter(({ name }) => (only.length > 0 ? only : profile).includes(name));
  return {
    run: wanted.filter(({ name }) => !skip.includes(name)),
    skipped: wanted.filter(({ name }) => skip.includes(name)),
  };
}
