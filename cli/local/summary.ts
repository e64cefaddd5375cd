// The last screen of a capture: what stands out, what is missing, the chain's head, and the next command.
import type { GapReason } from '../../evidence/index.ts';
import type { Environment } from '../command.ts';
import { escapeText, formatBytes, formatSeconds, styled, table } from '../terminal/text.ts';
import { printStandingOut } from '../triage/print.ts';
import type { LocalCapture } from './capture-local.ts';

const GAP_LINES = 8;
/** What a responder can do something about comes first, what this machine has not at all last. */
const REASONS: readonly GapReason[] = [
  'denied',
  'timeout',
  'failed',
  'aborted',
  'crashed',
  'truncated',
  'vanished',
  'unsupported',
  'skipped',
  'absent',
];

export function printSummary(captured: LocalCapture, { stdout, program }: Environment): void {
  const write = (text = ''): void => void stdout.write(`${text}\n`);
  const heading = (text: string): void => write(`\n${styled('bold', text, stdout)}`);
  const bytes = captured.results.reduce((sum, result) => sum + result.bytes, 0);
  const artefacts = captured.results.reduce((sum, result) => sum + result.artefacts, 0);
  const state = captured.outcome === 'aborted' ? 'stopped early, sealed' : 'captured and sealed';
  heading(
    `${escapeText(captured.node)}: ${state} in ${formatSeconds(captured.seconds)}, ${artefacts} artefacts, ${formatBytes(bytes)}`,
  );

  printStandingOut(captured.standsOut, stdout);

  heading('Coverage');
  const outcomes = captured.results.map(({ collector, outcome }) =>
    outcome === 'complete' ? collector : `${collector} (${outcome})`,
  );
  write(outcomes.join(', '));
  const gaps = gapRows(captured);
  if (gaps.length > 0) {
    heading('Gaps');
    write(
      table(
        [
          { title: 'COUNT', align: 'right' },
          { title: 'REASON' },
          { title: 'COLLECTOR' },
          { title: 'WHAT', flexible: true },
        ],
        gaps.slice(0, GAP_LINES),
        stdout.columns ?? Number.POSITIVE_INFINITY,
      ),
    );
    if (gaps.length > GAP_LINES) write(`and ${gaps.length - GAP_LINES} more kinds: ${program} ls shows all`);
  }
  const deniedHint = captured.results.some((result) => result.gaps.some((gap) => gap.reason === 'denied'));
  if (deniedHint && process.getuid?.() !== 0)
    write(styled('yellow', '\nnot run as root: what was denied above needs root (sudo)', stdout));
  if (captured.onSuspectDisk) {
    write(
      styled(
        'yellow',
        "\nthe bundle lies on the captured machine's own disk: copy it off, or give --store on another disk",
        stdout,
      ),
    );
  }
  const head = `${captured.head.sequence}:${captured.head.sha256}`;
  heading('Custody');
  write(`signed by  ${captured.keyid}  (${escapeText(captured.keyFile)})`);
  write(`head       ${head}  (write it down: it shows a chain cut short)`);
  heading('Next');
  write(`${program} verify ${captured.path} --key ${captured.publicKeyFile} --head ${head}`);
  write(`${program} ls ${captured.path}`);
}

function gapRows({ results }: LocalCapture): readonly (readonly string[])[] {
  return results
    .flatMap((result) => result.gaps)
    .toSorted((a, b) => REASONS.indexOf(a.reason) - REASONS.indexOf(b.reason) || b.count - a.count)
    .map(({ collector, reason, count, detail, names }) => [
      String(count),
      reason,
      collector,
      escapeText(gapText(names, count, detail)),
    ]);
}

/** Why, and of what: the first names, and how many more there are. */
function gapText(names: readonly string[], count: number, detail: string | undefined): string {
  const some = names.slice(0, 2).join(', ');
  const which = count > 2 ? `${some} and ${count - 2} more` : some;
  return detail === undefined ? which : `${detail} (${which})`;
}
