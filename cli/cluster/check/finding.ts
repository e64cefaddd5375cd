// One line of `impound check`: what was looked at, how it is, and what to do where it is not well.
import { describeError, ImpoundError } from '../../../evidence/index.ts';
import { describeRights, type Right } from '../roles.ts';

/** `note` is of interest and judges nothing; `unknown` could not be asked. */
export type Outcome = 'ok' | 'warning' | 'trouble' | 'unknown' | 'note';

export interface Finding {
  readonly name: string;
  readonly outcome: Outcome;
  readonly seen: string;
  readonly remedy?: string;
}

export interface Group {
  readonly title: string;
  readonly findings: readonly Finding[];
}

export const ok = (name: string, seen: string): Finding => ({ name, outcome: 'ok', seen });
export const note = (name: string, seen: string, remedy?: string): Finding => found('note', name, seen, remedy);
export const trouble = (name: string, seen: string, remedy: string): Finding => found('trouble', name, seen, remedy);
export const warning = (name: string, seen: string, remedy: string): Finding => found('warning', name, seen, remedy);
export const unknown = (name: string, seen: string, remedy?: string): Finding => found('unknown', name, seen, remedy);

function found(outcome: Outcome, name: string, seen: string, remedy: string | undefined): Finding {
  return { name, outcome, seen, ...(remedy === undefined ? {} : { remedy }) };
}

/** Of what one has no right to see. */
export function unseen(name: string, missing: readonly Right[], namespace: string): Finding {
  const text = `you may not ${describeRights(missing, namespace)}`;
  return unknown(name, text, 'the role impound-responder has this right');
}

/** Of what could not be asked: a right that is missing is told apart from what fails. */
export function failedToAsk(name: string, error: unknown): Finding {
  if (error instanceof ImpoundError && error.code === 'api-denied') return unknown(name, error.message);
  return unknown(name, `could not be asked: ${describeError(error)}`, 'ask again; --log-level debug says more');
}
