// impound list, status and watch: what captures there are, and how far they are.
import type { NodeCapture } from '../../protocol/index.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { ListArguments } from '../commands/list.ts';
import type { NameArguments, WatchArguments } from '../commands/watch.ts';
import { type Column, escapeText, fittingTable, formatAge, formatBytes, styled } from '../terminal/text.ts';
import { againWith } from './again.ts';
import { getCapture, isEnded, listCaptures } from './captures.ts';
import { connect } from './connect.ts';
import { watchToEnd } from './ending.ts';
import { assertMay } from './rights.ts';
import { on } from './roles.ts';
import { printStatus } from './summary.ts';

const AUDITOR = 'impound-auditor';
const COLUMNS: readonly Column[] = [
  ...[{ title: 'NAME' }, { title: 'NODE' }, { title: 'PHASE' }],
  ...['ARTEFACTS', 'BYTES', 'GAPS', 'AGE'].map((title) => ({ title, align: 'right' as const })),
  ...[{ title: 'CASE' }, { title: 'BY' }, { title: 'REASON', flexible: true }],
];
/** What a narrow terminal does without, the first one first; --json has it all. */
const DISPENSABLE = ['BY', 'ARTEFACTS', 'GAPS', 'CASE', 'REASON', 'NODE'];

export async function runList(argv: ListArguments, { json, stdout }: Environment): Promise<ExitCode> {
  await using connection = await connect(argv);
  await assertMay(connection, [{ verb: 'list' }], AUDITOR);
  const captures = await listCaptures(connection, argv.node);
  if (json) {
    for (const capture of captures) stdout.write(`${JSON.stringify(capture)}\n`);
    return 0;
  }
  const rows = captures.map(({ metadata, spec, status = {} }) => [
    metadata.name,
    spec.node,
    phaseText(status.phase ?? 'Pending', stdout),
    String(status.artefacts ?? ''),
    status.bytes === undefined ? '' : formatBytes(status.bytes),
    String(status.gaps ?? ''),
    formatAge((Date.now() - Date.parse(metadata.creationTimestamp ?? '')) / 1000),
    escapeText(spec.case ?? ''),
    escapeText(spec.requestedBy),
    escapeText(spec.reason),
  ]);
  if (rows.length === 0) stdout.write('no captures\n');
  else stdout.write(`${fittingTable(COLUMNS, rows, DISPENSABLE, stdout.columns ?? Number.POSITIVE_INFINITY)}\n`);
  return 0;
}

export async function runStatus(argv: NameArguments, environment: Environment): Promise<ExitCode> {
  await using connection = await connect(argv);
  await assertMay(connection, [{ verb: 'get', name: argv.name }], AUDITOR);
  const capture = await getCapture(connection, argv.name);
  if (environment.json) environment.stdout.write(`${JSON.stringify(capture)}\n`);
  else printStatus(capture, againWith(argv, environment), environment);
  return 0;
}

/** With --json each state is a line, the last one the end. */
export async function runWatch(argv: WatchArguments, environment: Environment): Promise<ExitCode> {
  await using connection = await connect(argv);
  const { name, strict, triage } = argv;
  await assertMay(connection, on('get list watch'), AUDITOR);
  const { json, stdout } = environment;
  await getCapture(connection, name);
  const changed = (capture: NodeCapture): void => {
    if (json && !isEnded(capture)) stdout.write(`${JSON.stringify(capture)}\n`);
  };
  const again = againWith(argv, environment);
  return watchToEnd(connection, { name, until: isEnded, changed, again, strict, triage, argv }, environment);
}

function phaseText(phase: string, stream: NodeJS.WriteStream): string {
  if (phase === 'Failed') return styled('red', phase, stream);
  return phase === 'Sealed' || phase === 'Released' ? phase : styled('cyan', phase, stream);
}
