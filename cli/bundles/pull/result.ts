// What a pull came to, and how a person is told.
import type { ChainHead } from '../../../evidence/index.ts';
import type { Environment } from '../../command.ts';
import { counted, escapeText, formatBytes, formatSeconds, styled } from '../../terminal/text.ts';
import type { Plain } from './plain.ts';
import type { PullPlan } from './plan.ts';

/** In one line. */
const PATHS_SHOWN = 5;

/** One thing that is not as the chain says, or could not be had. */
export interface Trouble {
  readonly path: string;
  /** `failed`: it may be had another time. */
  readonly kind: 'altered' | 'missing' | 'occupied' | 'failed';
  readonly message: string;
}

export interface Pulled {
  readonly path: string;
  readonly fetched: number;
  readonly kept: number;
  readonly left: number;
  /** From the store. */
  readonly bytes: number;
  readonly seconds: number;
  readonly foreign: readonly string[];
  readonly unnamed: readonly string[];
  readonly troubles: readonly Trouble[];
  readonly plain?: Plain;
}

export function printPulled(
  pulled: Pulled,
  { plan, access, only }: { readonly plan: PullPlan; readonly access: ChainHead | undefined; readonly only: boolean },
  { stdout, program }: Environment,
): void {
  const write = (text: string): void => void stdout.write(`${text}\n`);
  const troubles = [...pulled.troubles, ...(pulled.plain?.troubles ?? [])];
  for (const { path, message } of troubles)
    write(`${styled('red', '✘', stdout)} ${escapeText(path)}: ${escapeText(message)}`);
  const rate = pulled.seconds > 0 ? `, ${formatBytes(pulled.bytes / pulled.seconds)}/s` : '';
  const kept = pulled.kept === 0 ? '' : `; ${pulled.kept} were there already`;
  write(
    `pulled  ${counted(pulled.fetched, 'file')}, ${formatBytes(pulled.bytes)} in ${formatSeconds(pulled.seconds)}${rate}${kept}`,
  );
  if (only)
    write(`left    ${counted(plan.left, 'artefact')} that --only does not name: verify will say that they are missing`);
  if (pulled.foreign.length > 0)
    write(
      `left    ${counted(pulled.foreign.length, 'object')} that the chain has no place for: ${someOf(pulled.foreign)}`,
    );
  if (pulled.unnamed.length > 0)
    write(`unnamed ${counted(pulled.unnamed.length, 'artefact')} that no entry names yet: ${someOf(pulled.unnamed)}`);
  if (pulled.plain !== undefined) printPlain(pulled.plain, write);
  if (access === undefined) write(styled('yellow', 'the access is not on the custody chain (--unrecorded)', stdout));
  else {
    write(`access  entry ${access.sequence} of the custody chain`);
    write(`head    ${access.sequence}:${access.sha256}`);
  }
  const head = access === undefined ? '' : ` --head ${access.sequence}:${access.sha256}`;
  if (!only && troubles.length === 0) write(`next    ${program} verify ${pulled.path} --key PUBLIC-KEY${head}`);
  write(
    troubles.length === 0
      ? styled(
          ['green', 'bold'],
          pulled.unnamed.length === 0
            ? 'every file is as the chain says; whose chain it is, verify tells'
            : 'every file that the chain names is as it says; whose chain it is, verify tells',
          stdout,
        )
      : styled(['red', 'bold'], verdictOf(troubles), stdout),
  );
  write(pulled.path);
}

function printPlain({ path, files, cut, troubles }: Plain, write: (text: string) => void): void {
  if (files + troubles.length === 0) write('plain   nothing of it is encrypted');
  else write(`plain   ${counted(files, 'artefact')} decrypted into ${path}`);
  if (cut.length > 0)
    write(`        cut off by the end of the capture, and decrypted as far as they go: ${someOf(cut)}`);
}

function verdictOf(troubles: readonly Trouble[]): string {
  const count = (...kinds: readonly Trouble['kind'][]): number =>
    troubles.filter(({ kind }) => kinds.includes(kind)).length;
  const [wrong, occupied, failed] = [count('altered', 'missing'), count('occupied'), count('failed')];
  return [
    ...(wrong === 0 ? [] : [`${counted(wrong, 'file')} not as the chain says`]),
    ...(occupied === 0 ? [] : [`${counted(occupied, 'file')} not written: another stands in the place`]),
    ...(failed === 0 ? [] : [`${counted(failed, 'file')} could not be had`]),
  ].join('; ');
}

function someOf(paths: readonly string[]): string {
  const more = paths.length > PATHS_SHOWN ? `, and ${paths.length - PATHS_SHOWN} more` : '';
  return `${paths.slice(0, PATHS_SHOWN).map(escapeText).join(', ')}${more}`;
}
