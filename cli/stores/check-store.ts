// Tries a store, and says of each thing that evidence needs whether it is there and what to do where it is not.
import { resolve } from 'node:path';
import {
  type CheckResult,
  checkDirectory,
  checkS3Store,
  type Outcome,
  parseS3Url,
  type StoreCheck,
} from '../../evidence/index.ts';
import { reachedBy } from '../bundle.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { CheckArguments } from '../commands/check.ts';
import { protectionOf } from '../protection.ts';
import { counted, escapeText, type Style, styled } from '../terminal/text.ts';
import { wrap } from '../terminal/wrap.ts';

const EXITS: Readonly<Record<StoreCheck['verdict'], ExitCode>> = {
  suitable: 0,
  unsuitable: 1,
  'could not be checked': 2,
};
const MARKS: Readonly<Record<Outcome, readonly [string, Style]>> = {
  ok: ['✔', 'green'],
  failed: ['✘', 'red'],
  warning: ['!', 'yellow'],
  skipped: ['-', 'dim'],
};
/** So many that were not tried have a row each. */
const SKIPPED_ROWS = 2;
/** Text narrower than this is no longer read. */
const MIN_WIDTH = 24;

export async function runCheck(argv: CheckArguments, environment: Environment): Promise<ExitCode> {
  const checked = await checkStore(argv);
  if (environment.json) environment.stdout.write(`${JSON.stringify(checked)}\n`);
  else printCheck(checked, environment);
  return EXITS[checked.verdict];
}

async function checkStore(argv: CheckArguments): Promise<StoreCheck> {
  const { store } = argv;
  const protection = protectionOf(store, argv);
  const location = parseS3Url(store);
  if (location === undefined) return checkDirectory({ folder: resolve(store) });
  return checkS3Store({ ...location, ...reachedBy(argv), protection });
}

/** What a server says of itself is escaped: it may be anybody's. */
function printCheck({ store, checks, left, refusal }: StoreCheck, { stdout }: Environment): void {
  const write = (text: string): void => void stdout.write(`${text}\n`);
  const indent = 4 + Math.max(...checks.map(({ name }) => name.length));
  const width = Math.max(MIN_WIDTH, (stdout.columns ?? Number.POSITIVE_INFINITY) - indent);
  for (const { outcome, name, seen, advice } of rowsOf(checks)) {
    const [mark, style] = MARKS[outcome];
    const [first = '', ...more] = wrap(seen, width);
    write(`${styled(style, mark, stdout)} ${name.padEnd(indent - 2)}${first}`);
    for (const line of [...more, ...wrap(advice, width)]) write(`${' '.repeat(indent)}${line}`);
  }
  write('');
  for (const line of left) for (const part of wrap(`Left there: ${line}.`, indent + width)) write(part);
  const warnings = checks.filter(({ outcome }) => outcome === 'warning').length;
  const but = warnings === 0 ? '' : `, with ${counted(warnings, 'warning')}`;
  if (refusal === undefined)
    write(
      styled([warnings === 0 ? 'green' : 'yellow', 'bold'], `${escapeText(store)} can take evidence${but}`, stdout),
    );
  else
    for (const part of wrap(`${refusal.message} [${refusal.code}]`, indent + width))
      write(styled(['red', 'bold'], part, stdout));
}

interface Row {
  readonly outcome: Outcome;
  readonly name: string;
  readonly seen: string;
  readonly advice: string;
}

/** Many that were not tried, one after the other, are one row. */
function rowsOf(checks: readonly CheckResult[]): readonly Row[] {
  const runs: CheckResult[][] = [];
  for (const check of checks) {
    const last = runs.at(-1);
    if (check.outcome === 'skipped' && last?.[0]?.outcome === 'skipped') last.push(check);
    else runs.push([check]);
  }
  return runs.flatMap((run): readonly Row[] =>
    run.length > SKIPPED_ROWS
      ? [{ outcome: 'skipped', name: 'not tried', seen: run.map(({ name }) => name).join(', '), advice: '' }]
      : run.map(({ outcome, name, seen, remedy, tried }) => {
          const advice = remedy === undefined ? '' : `→ ${remedy} (tried: ${tried})`;
          return { outcome, name, seen, advice };
        }),
  );
}
