// The registry of collectors as a table.
import { nodeCollectors, profiles } from '../../agent/index.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { CollectorsArguments } from '../commands/collectors.ts';
import { formatBytes, table } from '../terminal/text.ts';

export async function runCollectors(argv: CollectorsArguments, { json, stdout }: Environment): Promise<ExitCode> {
  const rows = nodeCollectors.map(({ name, description, phase, volatility, artefacts, needs, limits }) => ({
    name,
    description,
    phase,
    volatility,
    profiles: Object.entries(profiles).flatMap(([profile, names]) => (names.includes(name) ? [profile] : [])),
    artefacts,
    needs,
    limits,
  }));
  if (json) {
    for (const row of rows) stdout.write(`${JSON.stringify(row)}\n`);
  } else if (argv.markdown) {
    stdout.write('| collector | what | artefacts | needs, and what is lost without |\n|---|---|---|---|\n');
    for (const row of rows) {
      const needs = row.needs.map((need) => `${need.kind} \`${need.name}\`: ${need.without}`).join('<br>');
      stdout.write(
        `| ${row.name} | ${row.description} | ${row.artefacts.map((path) => `\`${path}\``).join('<br>')} | ${needs} |\n`,
      );
    }
  } else {
    const columns = [
      { title: 'COLLECTOR' },
      { title: 'PHASE' },
      { title: 'LIMIT', align: 'right' as const },
      { title: '', align: 'right' as const },
      { title: 'WHAT', flexible: true },
    ];
    const cells = rows.map((row) => [
      row.name,
      row.phase,
      `${row.limits.seconds} s`,
      formatBytes(row.limits.bytes),
      row.description,
    ]);
    stdout.write(`${table(columns, cells, stdout.columns ?? Number.POSITIVE_INFINITY)}\n`);
  }
  return 0;
}
