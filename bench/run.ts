// Prints the figures of this machine beside floors measured in the same run: make bench [ROUNDS=5] [NODES=1000].
import { join } from 'node:path';
import { table } from '../cli/terminal/text.ts';
import { measureAge } from './age.ts';
import { measureAgent } from './agent.ts';
import { measureBulk } from './bulk.ts';
import { measureCluster } from './cluster.ts';
import { measureDisk } from './disk.ts';
import { measureFleet } from './fleet.ts';
import { checkout, type Measured, median, runProgram } from './measure.ts';
import { measureMemory } from './memory.ts';
import { measureNode, onBusyNode } from './node.ts';
import { measurePeers } from './peers.ts';
import { measureS3 } from './s3.ts';

const rounds = Number(process.env.ROUNDS ?? 5);
const gibibytes = Number(process.env.GIB ?? 4);
const nodes = Number(process.env.NODES ?? 1000);

const started = await startUp();
const { node, peers, agent } = await onBusyNode(async (node) => ({
  node: await measureNode(node, rounds),
  peers: await measurePeers(node),
  agent: await measureAgent(),
}));
const results: Measured[] = [
  started,
  ...node,
  ...(await measureBulk(rounds)),
  ...(await measureAge(rounds)),
  ...(await measureS3(rounds)),
  ...agent,
  ...(await measureCluster(rounds)),
  ...(await measureFleet(nodes)),
  ...(await measureDisk(rounds)),
  await measureMemory(gibibytes),
];
const titles = ['WHAT', 'MEASURED', 'FLOOR', 'RATIO', 'WANTED', ''];
const rows = results.map(({ what, figure, floor, ratio, wanted, met }) => [
  what,
  figure,
  floor,
  ratio,
  wanted,
  met === undefined ? '' : met ? 'met' : 'NOT MET',
]);
print(titles, rows);
for (const { titles, rows, notes } of peers) {
  process.stdout.write('\n');
  print(titles, rows);
  for (const note of notes) process.stdout.write(`${note}\n`);
}

function print(titles: readonly string[], rows: readonly (readonly string[])[]): void {
  const columns = titles.map((title, index) => ({ title, flexible: index === 0 }));
  process.stdout.write(`${table(columns, rows, process.stdout.columns ?? Number.POSITIVE_INFINITY)}\n`);
}

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
