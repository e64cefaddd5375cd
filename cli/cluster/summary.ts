// The last screen of a capture in the cluster, and what `status` shows: how it ended, what is missing, the next command.
import type { ChainHead } from '../../evidence/index.ts';
import type { NodeCapture, NodeCaptureStatus } from '../../protocol/index.ts';
import type { Environment } from '../command.ts';
import { counted, escapeText, formatBytes, formatSeconds, styled, table } from '../terminal/text.ts';
import { printStandingOut } from '../triage/print.ts';
import type { Again } from './again.ts';
import { isEnded } from './captures.ts';
import type { Triaged } from './standing-out.ts';

type Condition = NonNullable<NodeCaptureStatus['conditions']>[number];
type Out = Pick<Environment, 'stdout'>;

const WORDS: Readonly<Record<string, string>> = {
  Sealed: 'captured and sealed',
  Released: 'sealed, and the node given back',
  Cancelled: 'cancelled; what there was is sealed',
  Failed: 'FAILED',
};

/** `triaged`: what stands out, or why that is not shown. */
export function printSummary(capture: NodeCapture, again: Again, { stdout }: Out, triaged?: Triaged | string): void {
  const { status = {}, spec, metadata } = capture;
  const write = (text = ''): void => void stdout.write(`${text}\n`);
  const heading = (text: string): void => write(`\n${styled('bold', text, stdout)}`);
  const { phase = 'Pending', artefacts = 0, bytes = 0, gaps = 0 } = status;
  const seconds = (Date.parse(status.sealedAt ?? '') - Date.parse(status.startedAt ?? '')) / 1000;
  const took = Number.isNaN(seconds) ? '' : ` in ${formatSeconds(seconds)}`;
  const what =
    phase === 'Failed' ? '' : `, ${counted(artefacts, 'artefact')}, ${formatBytes(bytes)}, ${counted(gaps, 'gap')}`;
  heading(`${escapeText(spec.node)}: ${WORDS[phase] ?? phase}${took}${what}`);
  if (phase === 'Failed' && status.message !== undefined) write(styled('red', escapeText(status.message), stdout));
  printConditions(status.conditions ?? [], stdout);
  if (typeof triaged === 'string') {
    heading('Stands out');
    write(escapeText(triaged));
  } else if (triaged !== undefined) printStandingOut(triaged.standsOut, stdout);
  printGaps(status.collectors ?? [], isEnded(capture), stdout);
  const { bundle } = status;
  const head = typeof triaged === 'object' ? triaged.head : bundle?.head;
  if (bundle !== undefined) {
    heading('Custody');
    write(`bundle     ${escapeText(bundle.url)}`);
    if (typeof triaged === 'object')
      write(`access     entry ${triaged.head.sequence}: what stands out was read as you`);
    if (head !== undefined)
      write(`head       ${head.sequence}:${head.sha256}  (write it down: it shows a chain cut short)`);
  }
  heading('Next');
  for (const words of nextWords(capture, head)) write(again(words));
  if (!isEnded(capture)) write(again(`watch ${metadata.name}`));
}

export function printStatus(capture: NodeCapture, again: Again, environment: Out): void {
  const { stdout } = environment;
  const { spec, metadata, status = {} } = capture;
  const line = (title: string, text: string): void => void stdout.write(`${title.padEnd(10)} ${escapeText(text)}\n`);
  line('capture', metadata.name);
  line('node', spec.node);
  // at the end the message says what to do next, for who looks with kubectl: here that stands below
  const message = isEnded(capture) && status.phase !== 'Failed' ? undefined : status.message;
  line('phase', `${status.phase ?? 'Pending'}${message === undefined ? '' : `: ${message}`}`);
  line('asked by', `${spec.requestedBy}, ${metadata.creationTimestamp ?? ''}`);
  line('reason', spec.reason);
  if (spec.case !== undefined) line('case', spec.case);
  const { agent } = status;
  if (agent !== undefined) line('agent', `${agent.pod}, try ${status.session ?? 1}`);
  printSummary(capture, again, environment);
}

function nextWords({ metadata, status = {}, spec }: NodeCapture, head: ChainHead | undefined): readonly string[] {
  const { name } = metadata;
  const sealed = status.sealedAt !== undefined && head !== undefined;
  return [
    ...(sealed
      ? [
          `pull ${name} ./${spec.case ?? 'case'} --reason "..."`,
          `verify ${name} --head ${head.sequence}:${head.sha256} --key PUBLIC-KEY`,
        ]
      : []),
    ...(status.prior !== undefined && status.phase !== 'Released' ? [`release ${name}`] : []),
  ];
}

function printConditions(conditions: readonly Condition[], stdout: NodeJS.WriteStream): void {
  for (const { type, status, reason, message } of conditions) {
    const text = `${type.padEnd(13)} ${escapeText(message === '' ? reason : message)}`;
    if (status === 'True' && reason !== 'Incomplete') stdout.write(`${styled('green', '✔', stdout)} ${text}\n`);
    else stdout.write(`${styled('yellow', '!', stdout)} ${styled('yellow', text, stdout)} [${escapeText(reason)}]\n`);
  }
}

function printGaps(
  collectors: NonNullable<NodeCaptureStatus['collectors']>,
  ended: boolean,
  stdout: NodeJS.WriteStream,
): void {
  const rows = collectors
    .filter(({ gaps, outcome }) => gaps > 0 || (ended && outcome === undefined))
    .map(({ name, gaps, outcome }) => [String(gaps), name, outcome ?? (ended ? 'unfinished' : 'running')]);
  if (rows.length === 0) return;
  stdout.write(`\n${styled('bold', 'Gaps', stdout)} (gaps.jsonl of the bundle has each by its name)\n`);
  const columns = [{ title: 'COUNT', align: 'right' as const }, { title: 'COLLECTOR' }, { title: 'ENDED' }];
  stdout.write(`${table(columns, rows, stdout.columns ?? Number.POSITIVE_INFINITY)}\n`);
}
