// Watches a capture to its end, prints how that was, and makes an exit status of it.
import type { NodeCapture } from '../../protocol/index.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { ClusterArguments } from '../commands/cluster-options.ts';
import type { Again } from './again.ts';
import type { Connection } from './connect.ts';
import { type Following, follow } from './follow.ts';
import { standingOut } from './standing-out.ts';
import { printSummary } from './summary.ts';

export interface WatchToEnd extends Following {
  readonly argv: ClusterArguments;
  /** Whether what stands out is read and shown. */
  readonly triage: boolean;
  readonly again: Again;
  /** Gaps are a "no". */
  readonly strict: boolean;
}

/** 130 where the person left before. */
export async function watchToEnd(
  connection: Connection,
  { argv, triage, again, strict, ...following }: WatchToEnd,
  environment: Environment,
): Promise<ExitCode> {
  const { json, stdout, stderr } = environment;
  const ended = await follow(connection, following, environment);
  if (ended === undefined) {
    stderr.write(`capture ${following.name} goes on; to come back, or to end it:\n`);
    for (const words of ['watch', 'cancel']) stderr.write(`  ${again(`${words} ${following.name}`)}\n`);
    return 130;
  }
  if (json) stdout.write(`${JSON.stringify(ended)}\n`);
  else printSummary(ended, again, environment, triage && isSealed(ended) ? await standingOut(ended, argv) : undefined);
  return exitOf(ended, strict);
}

function isSealed({ status }: NodeCapture): boolean {
  return status?.phase === 'Sealed' || status?.phase === 'Cancelled';
}

function exitOf({ status }: NodeCapture, strict: boolean): ExitCode {
  if (status?.phase === 'Failed' || status?.phase === 'Cancelled') return 2;
  return strict && (status?.gaps ?? 0) > 0 ? 1 : 0;
}
