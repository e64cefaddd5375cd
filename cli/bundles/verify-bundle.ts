// Verifies a bundle and says the verdict so that nobody can mistake it.
import { type ChainHead, readAuthorities, type VerifyReport, verifyBundle } from '../../evidence/index.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { VerifyArguments } from '../commands/verify.ts';
import { trustedKey } from '../key.ts';
import { byteProgress } from '../terminal/byte-progress.ts';
import { counted, escapeText, formatBytes, styled } from '../terminal/text.ts';
import { usage } from '../usage.ts';
import { openNamed } from './named.ts';

const SHOWN = 50;
/** Intact says that nothing was changed since; this says what the capture itself had to leave. */
const OUTCOMES: Readonly<Record<string, string>> = {
  complete: 'ran to its end',
  aborted: 'was stopped before its end',
  recovered: 'was cut off by a crash, and sealed afterwards',
};

export async function runVerify(argv: VerifyArguments, environment: Environment): Promise<ExitCode> {
  const trusted = await Promise.all(argv.key.map(trustedKey));
  const authorities = (await Promise.all(argv.tsaCa.map(readAuthorities))).flat();
  const head = argv.head === undefined ? undefined : parseHead(argv.head);
  await using bundle = await openNamed(argv.bundle, argv);
  const { store, path } = bundle;
  await bundle.record?.(argv.reason);
  const progress = byteProgress('verifying', environment);
  const report = await verifyBundle(store, { trusted, head, authorities, progress: progress.advance }).finally(
    progress.end,
  );
  if (environment.json) environment.stdout.write(`${JSON.stringify({ path, ...report })}\n`);
  else printReport(report, path, environment);
  return exitCode(report, argv);
}

/** `N:SHA256`, as capture prints it; throws `usage`. */
export function parseHead(text: string): ChainHead {
  const match = /^(\d{1,6}):([0-9a-f]{64})$/.exec(text);
  if (match?.[2] !== undefined) return { sequence: Number(match[1]), sha256: match[2] };
  throw usage('--head takes N:SHA256, as capture printed it', { thing: text });
}

function exitCode({ verdict, signer }: VerifyReport, { strict, allowUnsealed }: VerifyArguments): ExitCode {
  if (verdict === 'could not be checked') return 2;
  if (verdict === 'not intact' || (strict && !signer.trusted)) return 1;
  return verdict === 'intact' || allowUnsealed ? 0 : 1;
}

/** The report for people. Paths and messages may come from a hostile bundle: all are escaped. */
export function printReport(report: VerifyReport, path: string, { stdout }: Environment): void {
  const write = (text: string): void => void stdout.write(`${text}\n`);
  for (const finding of report.findings.slice(0, SHOWN)) {
    write(
      `${styled('red', '✘', stdout)} ${escapeText(finding.path)}: ${escapeText(finding.message)} [${finding.code}]`,
    );
    if (finding.expected !== undefined) write(`    expected ${escapeText(finding.expected)}`);
    if (finding.found !== undefined) write(`    found    ${escapeText(finding.found)}`);
  }
  if (report.findings.length > SHOWN) write(`  and ${report.findings.length - SHOWN} more (--json shows all)`);
  for (const { path: file, message } of report.unchecked.slice(0, SHOWN)) {
    write(`${styled('red', '?', stdout)} ${escapeText(file)}: could not be read: ${escapeText(message)}`);
  }
  for (const warning of report.warnings.slice(0, SHOWN)) {
    write(
      `${styled('yellow', '!', stdout)} ${escapeText(warning.path)}: ${escapeText(warning.message)} [${warning.code}]`,
    );
  }
  const { signer } = report;
  write(`bundle  ${escapeText(report.bundle)}  ${escapeText(path)}`);
  write(`read    ${report.files} files, ${formatBytes(report.bytes)} of evidence, ${report.entries} custody entries`);
  write(`signer  ${escapeText(signer.keyid)}  (${escapeText(signer.kind)}, ${escapeText(signer.actor)})`);
  if (report.head !== undefined) write(`head    ${report.head.sequence}:${report.head.sha256}`);
  for (const { entry, time, authority } of report.timestamps)
    write(`stamped entry ${entry} at ${time} by ${escapeText(authority)}`);
  const { capture } = report;
  if (capture !== undefined && (capture.outcome !== 'complete' || capture.truncated > 0)) {
    const outcome = OUTCOMES[capture.outcome] ?? escapeText(capture.outcome);
    write(
      styled(
        'yellow',
        `capture ${outcome}; ${counted(capture.truncated, 'artefact')} not whole ("ls" names them)`,
        stdout,
      ),
    );
  }
  write(verdictLine(report, stdout));
}

function verdictLine({ verdict, signer, findings }: VerifyReport, stdout: NodeJS.WriteStream): string {
  const unknown = signer.trusted ? '' : '; signer not checked against a trusted key (give --key)';
  switch (verdict) {
    case 'intact':
      return styled(signer.trusted ? ['green', 'bold'] : ['yellow', 'bold'], `intact${unknown}`, stdout);
    case 'unsealed':
      return styled(
        ['yellow', 'bold'],
        `unsealed: whole as far as it goes, and not finished ("impound seal" finishes it)${unknown}`,
        stdout,
      );
    case 'not intact':
      return styled(['red', 'bold'], `NOT INTACT: ${counted(findings.length, 'finding')}`, stdout);
    default:
      return styled(['red', 'bold'], 'could not be checked: some files could not be read', stdout);
  }
}
