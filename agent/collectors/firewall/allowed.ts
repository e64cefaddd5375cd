// Whether a program may be run that loads a kernel module where that is not loaded: never to find that nothing is there.
import { gap } from '../../../capture/index.ts';
import type { ModuleState } from './modules.ts';
import type { Asking } from './query.ts';

/** A module that is not there has nothing to tell; asking would load it. One that cannot be told is asked, and noted. */
export function allowed(
  { context, output, inode }: Asking,
  module: (name: string) => ModuleState,
  name: string,
  program: string,
  what: string,
): boolean {
  const state = module(name);
  if (state === 'absent') {
    const detail = `the kernel has no ${name} loaded, and so no such rules: ${program} was not run, it would load it`;
    output.gap(gap('absent', `netns ${inode}: ${what}`, detail));
  } else if (state === 'unknown' && !output.noted.has(name)) {
    output.noted.add(name);
    context.footprint({ kind: 'note', name: `module ${name}`, detail: `${program} loads it where it is not loaded` });
  }
  return state !== 'absent';
}
