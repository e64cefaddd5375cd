// What a person is told whose words cannot be carried out: the command ends with status 64.
import { ImpoundError } from '../evidence/errors.ts';

/** `thing` is the word that is wrong, `cause` what it failed on. */
export function usage(
  message: string,
  about: { readonly thing?: string; readonly cause?: unknown } = {},
): ImpoundError {
  return new ImpoundError('usage', message, { operation: 'read arguments', ...about });
}
