// The table of what stands out on a captured machine, as both kinds of capture end with it.
import { escapeText, styled, table } from '../terminal/text.ts';
import type { Sighting, StandingOut } from './triage.ts';

/** A kind with more of them than this is cut, with a line that says how many there are. */
const LINES_PER_KIND = 12;

export function printStandingOut(standsOut: StandingOut, stdout: NodeJS.WriteStream): void {
  stdout.write(`\n${styled('bold', 'Stands out', stdout)}\n`);
  const rows = rowsOf(standsOut);
  const columns = [
    ...[{ title: 'WHAT' }, { title: 'PID', align: 'right' as const }, { title: 'NAME' }],
    { title: 'WHERE', flexible: true },
  ];
  const text =
    rows.length === 0
      ? 'nothing of what is looked for here: deleted or memfd executables, hidden processes, listeners, packet sockets, privileged containers'
      : table(columns, rows, stdout.columns ?? Number.POSITIVE_INFINITY);
  stdout.write(`${text}\n`);
}

/** Those of suspects first, and all of them. */
function rowsOf({ sightings, counts }: StandingOut): readonly (readonly string[])[] {
  const { suspects = [], others = [] } = Object.groupBy(sightings, ({ suspect }) => (suspect ? 'suspects' : 'others'));
  const first = distinct(suspects).map((sighting) => rowOf(sighting, `${sighting.what} (suspect)`));
  const byKind = Map.groupBy(others, ({ what }) => what);
  const rest = [...byKind].flatMap(([what, ofKind]) => {
    const rows = distinct(ofKind).map((sighting) => rowOf(sighting, what));
    const shown = suspects.filter((sighting) => sighting.what === what).length + LINES_PER_KIND;
    const left = (counts[what] ?? 0) - shown;
    return rows.length <= LINES_PER_KIND
      ? rows
      : [...rows.slice(0, LINES_PER_KIND), [what, '', '', `and ${left} more`]];
  });
  return [...first, ...rest];
}

function rowOf({ pid, name, where }: Sighting, what: string): readonly string[] {
  return [what, String(pid ?? ''), escapeText(name), escapeText(where)];
}

/** A program that listens on the same port in IPv4 and IPv6, or in many workers, is one line. */
function distinct(sightings: readonly Sighting[]): readonly Sighting[] {
  const seen = new Map(sightings.map((sighting) => [`${sighting.name}\n${sighting.where}\n${sighting.pid}`, sighting]));
  return [...seen.values()];
}
