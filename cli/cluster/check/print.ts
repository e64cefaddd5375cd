// What `impound check` shows of a cluster: groups of rows, each with its remedy below it, and one last line.
import { counted, type Style, styled } from '../../terminal/text.ts';
import { wrap } from '../../terminal/wrap.ts';
import type { Group, Outcome } from './finding.ts';

export type Verdict = 'well' | 'troubled' | 'unknown';

const MARKS: Readonly<Record<Outcome, readonly [string, Style]>> = {
  ok: ['✔', 'green'],
  warning: ['!', 'yellow'],
  trouble: ['✘', 'red'],
  unknown: ['?', 'yellow'],
  note: ['-', 'dim'],
};
/** Text narrower than this is no longer read. */
const MIN_WIDTH = 30;
/** Of a pipe, which has no end to its lines: they are for people still. */
const PIPE_WIDTH = 120;
const MARGIN = 4;

/** What a cluster says of itself is escaped: it may be anybody's. */
export function printCheck(groups: readonly Group[], verdict: Verdict, stream: NodeJS.WriteStream): void {
  const write = (text: string): void => void stream.write(`${text}\n`);
  const all = groups.flatMap(({ findings }) => findings);
  const names = Math.max(...all.map(({ name }) => name.length)) + 2;
  const indent = ' '.repeat(MARGIN + names);
  const columns = stream.columns ?? PIPE_WIDTH;
  const width = Math.max(MIN_WIDTH, columns - indent.length);
  for (const { title, findings } of groups) {
    if (findings.length === 0) continue;
    write(styled('bold', title, stream));
    for (const { name, outcome, seen, remedy } of findings) {
      const [mark, style] = MARKS[outcome];
      const [first = '', ...more] = wrap(seen, width);
      write(`  ${styled(style, mark, stream)} ${name.padEnd(names)}${first}`);
      for (const line of more) write(`${indent}${line}`);
      for (const line of remedy === undefined ? [] : wrap(`→ ${remedy}`, width)) write(`${indent}${line}`);
    }
  }
  write('');
  for (const line of wrap(
    summaryOf(
      all.map(({ outcome }) => outcome),
      verdict,
    ),
    columns,
  ))
    write(styled(STYLES[verdict], line, stream));
}

const STYLES: Readonly<Record<Verdict, Style>> = {
  well: ['green', 'bold'],
  troubled: ['red', 'bold'],
  unknown: ['yellow', 'bold'],
};

function summaryOf(outcomes: readonly Outcome[], verdict: Verdict): string {
  const count = (wanted: Outcome): number => outcomes.filter((one) => one === wanted).length;
  const unasked = count('unknown') === 0 ? '' : `; ${counted(count('unknown'), 'thing')} could not be asked`;
  const warned = count('warning') === 0 ? '' : `, with ${counted(count('warning'), 'warning')}`;
  if (verdict === 'troubled')
    return `${counted(count('trouble'), 'thing')} ${count('trouble') === 1 ? 'is' : 'are'} not well${warned}${unasked}`;
  if (verdict === 'unknown') return `what could be asked is well${warned}${unasked}`;
  return `captures work here${warned}`;
}
