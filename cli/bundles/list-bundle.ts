// Lists a bundle: its artefacts and gaps, or its custody chain. Reads the chain only; verify is another command.
import {
  type ArtefactRecord,
  type ChainEntry,
  gapGroups,
  payloadDigests,
  readChain,
  records,
  type Statement,
} from '../../evidence/index.ts';
import { openBundle } from '../bundle.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { LsArguments } from '../commands/ls.ts';
import { escapeText, formatBytes, styled, table } from '../terminal/text.ts';

export async function runLs(argv: LsArguments, environment: Environment): Promise<ExitCode> {
  const { store, path } = await openBundle(argv.bundle, argv);
  const entries = await readChain(store);
  const statements = entries.map((entry) => entry.statement);
  if (argv.custody) printCustody(entries, environment);
  else printArtefacts(statements, path, environment);
  return 0;
}

function printArtefacts(statements: readonly Statement[], path: string, { json, stdout }: Environment): void {
  const artefacts = records(statements);
  const gaps = gapGroups(statements);
  const sealed = statements.some(({ predicate }) => predicate.action === 'seal');
  const bundle = statements[0]?.predicate.bundle ?? '';
  if (json) {
    const granted = payloadDigests(statements.slice(0, 1));
    stdout.write(`${JSON.stringify({ bundle, path, sealed, granted, artefacts, gaps })}\n`);
    return;
  }
  const width = stdout.columns ?? Number.POSITIVE_INFINITY;
  const rows = artefacts.toSorted((a, b) => (a.path < b.path ? -1 : 1)).map((record) => artefactRow(record, stdout));
  const columns = [
    { title: 'SIZE', align: 'right' as const },
    { title: 'CONTENT', align: 'right' as const },
    { title: 'COLLECTOR' },
    { title: 'ARTEFACT', flexible: true },
  ];
  stdout.write(`${table(columns, rows, width)}\n`);
  if (gaps.length > 0) {
    const cells = gaps.map(({ collector, reason, count, names, detail }) => [
      String(count),
      escapeText(reason),
      escapeText(collector),
      escapeText(detail ?? names.join(', ')),
    ]);
    const titles = [
      { title: 'GAPS', align: 'right' as const },
      { title: 'REASON' },
      { title: 'COLLECTOR' },
      { title: 'WHAT', flexible: true },
    ];
    stdout.write(`\n${table(titles, cells, width)}\n`);
  }
  const bytes = artefacts.reduce((sum, record) => sum + record.size, 0);
  const state = sealed ? 'sealed' : styled('yellow', 'not sealed', stdout);
  stdout.write(
    `\n${artefacts.length} artefacts, ${formatBytes(bytes)}, ${state}; listed from the chain, not verified\n`,
  );
}

function artefactRow(record: ArtefactRecord, stdout: NodeJS.WriteStream): readonly string[] {
  const marks = [
    ...(record.truncated === undefined ? [] : [`truncated: ${record.truncated}`]),
    ...(record.recovered === true ? ['recovered'] : []),
  ];
  const note = marks.length === 0 ? '' : styled('yellow', `  (${escapeText(marks.join(', '))})`, stdout);
  return [
    formatBytes(record.size),
    record.contentSize === undefined ? '' : formatBytes(record.contentSize),
    escapeText(record.collector),
    escapeText(record.path) + note,
  ];
}

function printCustody(entries: readonly ChainEntry[], { json, stdout }: Environment): void {
  if (json) {
    for (const { statement, sha256 } of entries) stdout.write(`${JSON.stringify({ sha256, ...statement })}\n`);
    return;
  }
  const rows = entries.map(({ sequence, statement, sha256, envelope }) => {
    const { predicate } = statement;
    return [
      String(sequence),
      predicate.time,
      escapeText(predicate.action),
      escapeText(predicate.actor.name),
      envelope.keyid.slice(0, 8).replace(/[^0-9a-f]/g, '?'),
      sha256.slice(0, 8),
      escapeText(about(statement)),
    ];
  });
  const titles = ['#', 'TIME', 'ACTION', 'ACTOR', 'KEY', 'SHA256', 'WHAT'];
  const columns = titles.map((title, index) => ({
    title,
    ...(index === 0 ? { align: 'right' as const } : {}),
    flexible: index === 6,
  }));
  stdout.write(`${table(columns, rows, stdout.columns ?? Number.POSITIVE_INFINITY)}\n`);
}

function about({ subject, predicate: { action, details } }: Statement): string {
  switch (action) {
    case 'session':
      return `session ${details.session}, ${details.software}, profile ${details.profile}`;
    case 'collect':
      return subject.map(({ name }) => name.replace(/^data\//, '')).join(', ');
    case 'note':
      return String(details.reason ?? '');
    case 'access':
      return String(details.reason ?? details.purpose ?? ''); // a controller has written the latter
    case 'close':
      return String(details.outcome);
    default:
      return subject.map(({ name }) => name).join(', ');
  }
}
