// Prints the figures of this machine beside floors measured in the same run: make bench [ROUNDS=5].
import { join } from 'node:path';
import { table } from '../cli/terminal/text.ts';
import { measureBulk } from './bulk.ts';
import { measureDisk } from './disk.ts';
import { checkout, type Measured, median, runProgram } from './measure.ts';
import { measureMemory } from './memory.ts';
import { measureNode } from './node.ts';

const rounds = Number(process.env.ROUNDS ?? 5);
const gibibytes = Number(process.env.GIB ?? 4);

const results: Measured[] = [
  await startUp(),
  ...(await measureNode(rounds)),
  ...(await measureBulk(rounds)),
  ...(await measureDisk(rounds)),
  await measureMemory(gibibytes),
];
const columns = ['WHAT', 'MEASURED', 'FLOOR', 'RATIO', 'WANTED', ''].map((title, index) => ({
  title,
  flexible: index === 0,
}));
const rows = results.map(({ what, figure, floor, ratio, wanted, met }) => [
  what,
  figure,
  floor,
  ratio,
  wanted,
  met === undefined ? '' : met ? 'met' : 'NOT MET',
]);
process.stdout.write(`${table(columns, rows, process.stdout.columns ?? Number.POSITIVE_INFINITY)}\n`);

async function startUp(): Promise<Measured> {
  const main = join(checkout, 'dist/cli/main.js');
  const times: number[] = [];
  for (let round = 0; round < 2 * rounds + 1; round++)
    times.push((await runProgram(process.execPath, [main, '--help'])).seconds * 1000);
  const time = median(times);
  return {
    what: 'impound --help, built',
    figure: `${time.toFixed(0)} ms`,
    floor: '',
    ratio: '',
    wanted: 'under 150 ms',
    met: time < 150,
  };
}
