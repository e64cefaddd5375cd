// What somebody may have meant by a name that there is not.

const MAX_SHOWN = 3;

/** "; did you mean X?", or `otherwise` where nothing is like it. */
export function similarTo(name: string, names: readonly string[], otherwise = ''): string {
  const most = Math.max(2, Math.floor(name.length / 3));
  const ranked = names
    .map((one) => ({ one, far: one.startsWith(`${name}.`) || one.startsWith(`${name}-`) ? 1 : distance(name, one) }))
    .filter(({ far }) => far <= most)
    .toSorted((a, b) => a.far - b.far)
    .slice(0, MAX_SHOWN);
  return ranked.length === 0 ? otherwise : `; did you mean ${ranked.map(({ one }) => one).join(' or ')}?`;
}

/** Levenshtein's: letters to be put in, taken out or changed. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries())
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)));
    row = next;
  }
  return row[b.length] ?? 0;
}
