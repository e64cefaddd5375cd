// Patterns of paths: "*" for any part of one name, "**" for any number of folders, as data that a walk can ask.

export interface Pattern {
  /** The names before the first wildcard. */
  readonly fixed: readonly string[];
  readonly rest: readonly string[];
}

/** How far the names lead: the whole pattern, and whether something below may be meant too. */
export interface Reach {
  readonly whole: boolean;
  readonly below: boolean;
  /** What is left of the pattern for a folder that stands here, where its next name is not "**". */
  readonly left: readonly (readonly string[])[];
}

export function parsePattern(text: string): Pattern {
  const names = text.split('/').filter((name) => name !== '');
  const first = names.findIndex((name) => name.includes('*'));
  return first < 0 ? { fixed: names, rest: [] } : { fixed: names.slice(0, first), rest: names.slice(first) };
}

/** `names` one character a byte. */
export function reach(rest: readonly string[], names: readonly string[]): Reach {
  let states = closure(rest, [0]);
  for (const name of names) {
    const next: number[] = [];
    for (const state of states) {
      const wanted = rest[state];
      if (wanted === undefined) continue;
      if (wanted === '**') next.push(state);
      else if (matches(wanted, name)) next.push(state + 1);
    }
    states = closure(rest, next);
  }
  const open = [...states].filter((state) => state < rest.length);
  return {
    whole: states.has(rest.length),
    below: open.length > 0,
    left: open.filter((state) => rest[state] !== '**').map((state) => rest.slice(state)),
  };
}

/** "**" may stand for no folder at all. */
function closure(rest: readonly string[], states: readonly number[]): Set<number> {
  const all = new Set(states);
  for (const state of all) if (rest[state] === '**') all.add(state + 1);
  return all;
}

const known = new Map<string, RegExp>();

/** Whether one name is what one part of a pattern means; one character a byte. */
export function matches(wanted: string, name: string): boolean {
  if (!wanted.includes('*')) return wanted === name;
  let expression = known.get(wanted);
  if (expression === undefined) {
    const parts = wanted.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
    // names are at most 255 bytes, and patterns have two or three wildcards: no runaway matching
    expression = new RegExp(`^${parts.join('[^/]*')}$`, 's');
    known.set(wanted, expression);
  }
  return expression.test(name);
}
