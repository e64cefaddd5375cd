// What an agent hears where it is the store that fails, or the bundle that is closed.
import { describeError, ImpoundError } from '../../evidence/index.ts';
import { Problem } from '../http/problem.ts';

/** A Problem of it where it is a matter of the store or the chain in it, else the error itself. */
export function unavailable(error: unknown): unknown {
  if (error instanceof Problem) return error;
  if (!(error instanceof ImpoundError)) return error;
  if (error.code === 'bundle-sealed')
    return new Problem(409, 'conflict', 'the bundle is closed: nothing more goes into it');
  return new Problem(503, 'unavailable', `the store cannot take it now: ${describeError(error)}`);
}
